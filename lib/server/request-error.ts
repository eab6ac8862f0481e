/** The error codes of distribution-spec 1.1 ("Error Codes"), and distribution's code for an invalid page size. */
type ErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'SIZE_INVALID'
  | 'UNSUPPORTED'
  | 'UNKNOWN';

/** A request error, sent as the response. Never leaves this room. */
export class RequestError extends Error {
  readonly status: number;
  readonly errorCode: ErrorCode;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    errorCode: ErrorCode,
    message: string,
    options: {
      readonly detail?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RequestError';
    this.status = status;
    this.errorCode = errorCode;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }

  /** The body of the response (distribution-spec, "Error Codes"). */
  body(): string {
    const detail = this.detail === undefined ? {} : { detail: this.detail };
    return JSON.stringify({ errors: [{ code: this.errorCode, message: this.message, ...detail }] });
  }
}
