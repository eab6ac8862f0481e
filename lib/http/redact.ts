const MASK = '***';
/** Parameters that carry a signature or a secret: of signed storage URLs, token services and the like. */
const SECRET_PARAMETER =
  /^(x-amz-.*|x-goog-.*|sig|sv|se|sp|sr|skoid|sktid|signature|expires|key-pair-id|policy|googleaccessid|awsaccesskeyid|token|access_?token|refresh_?token|id_?token|jwt|code|api_?key|apikey|key|auth|password|passwd|pass|secret|client_?secret|_state|hmac)$/i;

/** `url` fit for a message or log: `user:pass@` is dropped, signed and secret query values are masked. */
export function redactUrl(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return '(not a URL)';
  }
  const query = [...parsed.searchParams].map(([name, value]) => {
    const shown = SECRET_PARAMETER.test(name) || looksSecret(value) ? MASK : encodeURIComponent(value);
    return `${encodeURIComponent(name)}=${shown}`;
  });
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

/** Free text fit for a message: URLs in it are redacted, `Bearer` and `Basic` values and token-like words are masked. */
export function redactText(text: string): string {
  return text
    .replace(/https?:\/\/[^\s"'<>\\]*[^\s"'<>\\.,;:!?)\]]/g, (url) => redactUrl(url))
    .replace(/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+/gi, (_all, scheme: string) => `${scheme} ${MASK}`)
    .replace(/\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]+){1,2}/g, MASK);
}

/** Long runs without separators are tokens or signatures; digests are not secret. */
function looksSecret(value: string): boolean {
  return value.length >= 40 && !/^sha(256|512):[0-9a-f]+$/.test(value) && /^[A-Za-z0-9._~+/=%-]+$/.test(value);
}
