const MASK = '***';
/** Query parameters of signed storage URLs, token services and similar that hold a signature or a secret. */
const SECRET_PARAMETER =
  /^(x-amz-.*|x-goog-.*|sig|sv|se|sp|sr|skoid|sktid|signature|expires|key-pair-id|policy|googleaccessid|awsaccesskeyid|token|access_?token|refresh_?token|id_?token|jwt|code|api_?key|apikey|key|auth|password|passwd|pass|secret|client_?secret|_state|hmac)$/i;

/** Makes `url` safe for messages and logs: removes `user:pass@` and masks secret query values. */
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

/** Makes text safe for messages: redacts the URLs in it and masks `Bearer` and `Basic` values and strings that look like tokens. */
export function redactText(text: string): string {
  return text
    .replace(/https?:\/\/[^\s"'<>\\]*[^\s"'<>\\.,;:!?)\]]/g, (url) => redactUrl(url))
    .replace(/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+/gi, (_all, scheme: string) => `${scheme} ${MASK}`)
    .replace(/\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]+){1,2}/g, MASK);
}

/** A long run without separators is a token or a signature. Digests are not secret. */
function looksSecret(value: string): boolean {
  return value.length >= 40 && !/^sha(256|512):[0-9a-f]+$/.test(value) && /^[A-Za-z0-9._~+/=%-]+$/.test(value);
}
