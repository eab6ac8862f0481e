/** Hosts that a public registry must not lead to: of this machine, and of private networks. */
export const NOT_PUBLIC = ['127.0.0.1', '0.0.0.0', '[::ffff:127.0.0.1]', 'localhost.', '169.254.169.254', '10.0.0.1'];
