/** Formats of `save`. */
export const ARCHIVE_FORMATS = ['docker-archive', 'oci-archive', 'oci-dir', 'docker-dir', 'v1'] as const;
