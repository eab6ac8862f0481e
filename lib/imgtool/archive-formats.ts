/** What `save` writes. */
export const ARCHIVE_FORMATS = ['docker-archive', 'oci-archive', 'oci-dir', 'v1'] as const;
