const MAX_COOKIES = 50;
const MAX_COOKIE_BYTES = 4096;

/**
 * The cookies of one client by origin; v1 registries keep sessions in them. A cookie is sent only to the origin that
 * set it. Paths and expiry dates are ignored, because no cookie outlives a command.
 */
export class CookieJar {
  readonly #byOrigin = new Map<string, Map<string, string>>();

  /** Stores the `Set-Cookie` lines of a response from `url`. */
  take(url: string, lines: readonly string[] | undefined): void {
    if (lines === undefined) return;
    const { origin } = new URL(url);
    const cookies = this.#byOrigin.get(origin) ?? new Map<string, string>();
    this.#byOrigin.set(origin, cookies);
    for (const line of lines) {
      const pair = line.split(';', 1)[0]!.trim();
      const equals = pair.indexOf('=');
      if (equals < 1 || pair.length > MAX_COOKIE_BYTES || !/^[\x21-\x7e]+$/.test(pair)) continue;
      const name = pair.slice(0, equals);
      if (/;\s*max-age\s*=\s*(0|-\d+)\s*(;|$)/i.test(line)) cookies.delete(name);
      else if (cookies.has(name) || cookies.size < MAX_COOKIES) cookies.set(name, pair);
    }
  }

  /** The `Cookie` header for a request to `url`, or undefined. */
  header(url: string): string | undefined {
    const cookies = this.#byOrigin.get(new URL(url).origin);
    return cookies === undefined || cookies.size === 0 ? undefined : [...cookies.values()].join('; ');
  }
}
