import type { RegistryClient } from '../../registry/index.js';

/** Settings for the registries on one side of a copy that differ from the general ones. */
export interface RegistryAccess {
  /** The only file to read logins from. */
  readonly authfile?: string | undefined;
  /**
   * The login for one host; takes precedence over files. `registryToken`: a bearer token instead of user and password.
   */
  readonly login?:
    | {
        readonly host: string;
        readonly username: string;
        readonly password: string;
        readonly registryToken?: string | undefined;
      }
    | undefined;
  /** Use no login. */
  readonly anonymous?: boolean | undefined;
  /** False accepts any certificate and plain HTTP. */
  readonly tlsVerify?: boolean | undefined;
  /** Directory of certificates. */
  readonly certDir?: string | undefined;
}

/** Returns a client with these settings, the same one for the same settings. Its creator closes it. */
export type ClientForAccess = (access: RegistryAccess) => Promise<RegistryClient>;
