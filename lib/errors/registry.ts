import { ImgtoolError, type ErrorOptions } from './base.js';

/** A registry refused the credentials or the request; names the source of the credentials, never their value. */
export class AuthenticationError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_AUTHENTICATION';
  readonly host: string;
  readonly scheme: string | undefined;
  readonly credentialSource: string | undefined;
  /** True when the registry refused the identity, so that another login may help. */
  readonly isLoginRefused: boolean;
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly host: string;
      readonly scheme?: string | undefined;
      readonly credentialSource?: string | undefined;
      readonly isLoginRefused?: boolean;
    },
  ) {
    super(message, options);
    this.host = options.host;
    this.scheme = options.scheme;
    this.credentialSource = options.credentialSource;
    this.isLoginRefused = options.isLoginRefused ?? false;
  }
}

/** One entry of the `errors` array (distribution-spec, "Error Codes"). */
export interface RegistryDiagnostic {
  readonly code: string;
  readonly message: string;
}

/** A registry returned an unexpected status, after retries; `url` is redacted. */
export class RegistryError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_REGISTRY';
  readonly status: number;
  readonly method: string;
  readonly url: string;
  readonly diagnostics: readonly RegistryDiagnostic[];
  constructor(
    message: string,
    options: ErrorOptions & {
      readonly status: number;
      readonly method: string;
      readonly url: string;
      readonly diagnostics?: readonly RegistryDiagnostic[];
    },
  ) {
    super(message, options);
    this.status = options.status;
    this.method = options.method;
    this.url = options.url;
    this.diagnostics = options.diagnostics ?? [];
  }
}

/** The phase of a request that failed. */
export type TransportPhase = 'lookup' | 'connect' | 'tls' | 'request' | 'response' | 'body';

/** The network failed, after retries. */
export class TransportError extends ImgtoolError {
  readonly code = 'ERR_IMGTOOL_TRANSPORT';
  readonly host: string;
  readonly phase: TransportPhase;
  /** True when the host answered a TLS handshake with plain HTTP. */
  readonly isPlainHttp: boolean;
  constructor(
    message: string,
    options: ErrorOptions & { readonly host: string; readonly phase: TransportPhase; readonly isPlainHttp?: boolean },
  ) {
    super(message, options);
    this.host = options.host;
    this.phase = options.phase;
    this.isPlainHttp = options.isPlainHttp ?? false;
  }
}
