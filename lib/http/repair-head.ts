/** Limit of a response head in bytes; proxies that add long policies exceed node's default of 16 KiB. */
export const MAX_HEAD_BYTES = 256 * 1024;

const NOTHING = Buffer.alloc(0);
/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f]/g;

interface Field {
  readonly name: string;
  value: string;
}

/**
 * Repairs the head of the one response that arrives on a connection, because node's parser stays strict. The body
 * passes unchanged. Only for connections that serve one request and are then closed, so that a wrongly detected end of
 * a response cannot affect another one.
 */
export class HeadRepair {
  #held = NOTHING;
  #done = false;

  /** Takes received bytes; returns the bytes to pass on. */
  push(chunk: Buffer): Buffer {
    if (this.#done) return chunk;
    this.#held = Buffer.concat([this.#held, chunk]);
    const passed: Buffer[] = [];
    for (;;) {
      const text = this.#held.toString('latin1', 0, MAX_HEAD_BYTES);
      const end = /\n\r?\n/.exec(text);
      const isHttp = 'HTTP/'.startsWith(text.slice(0, 5));
      if (end === null && isHttp && this.#held.length < MAX_HEAD_BYTES) return Buffer.concat(passed);
      if (end === null || !isHttp) return Buffer.concat([...passed, this.flush()]);
      const length = end.index + end[0].length;
      passed.push(Buffer.from(repairHead(text.slice(0, length)), 'latin1'));
      this.#held = this.#held.subarray(length);
      // After an interim response, another head follows (RFC 9110, 15.2).
      if (!/^HTTP\/\d\.\d 1\d\d/.test(text)) return Buffer.concat([...passed, this.flush()]);
    }
  }

  /** Returns the buffered bytes, at the end of input or when there is nothing to repair. */
  flush(): Buffer {
    const rest = this.#held;
    this.#held = NOTHING;
    this.#done = true;
    return rest;
  }
}

/**
 * Rewrites a malformed head as RFC 9112 requires it. Repairs lines that end in a bare LF (2.2), folded lines (5.2),
 * control characters in values, a space before the colon (5.1), lines that are not fields, repeated equal
 * Content-Length fields, and Content-Length next to `Transfer-Encoding: chunked`, which takes precedence (6.3).
 * Ambiguous heads stay unchanged, and the parser rejects them. `head` and the result are latin1 and include the final
 * empty line.
 */
function repairHead(head: string): string {
  const [status = '', ...lines] = head.split('\n').map((line) => line.replace(/\r+$/, ''));
  const fields: Field[] = [];
  let current: Field | undefined;
  for (const line of lines) {
    if (/^[ \t]/.test(line)) {
      if (current !== undefined) current.value = `${current.value} ${clean(line)}`;
      continue;
    }
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).trimEnd();
    current = TOKEN.test(name) ? { name, value: clean(line.slice(colon + 1)) } : undefined;
    if (current !== undefined) fields.push(current);
  }
  const text = [clean(status), ...withOneLength(fields).map(({ name, value }) => `${name}: ${value}`)].join('\r\n');
  return `${text}\r\n\r\n`;
}

/** Keeps at most one field that determines the length of the body, unless the fields contradict each other. */
function withOneLength(fields: readonly Field[]): readonly Field[] {
  const isLength = ({ name }: Field): boolean => name.toLowerCase() === 'content-length';
  const codings = fields.filter(({ name }) => name.toLowerCase() === 'transfer-encoding').map(({ value }) => value);
  const others = fields.filter((field) => !isLength(field));
  if (codings.join(',').trim().toLowerCase() === 'chunked') return others;
  const lengths = new Set(fields.filter(isLength).flatMap(({ value }) => value.split(',').map((each) => each.trim())));
  const [length = ''] = lengths;
  return lengths.size === 1 && /^\d+$/.test(length) ? [...others, { name: 'Content-Length', value: length }] : fields;
}

function clean(value: string): string {
  return value.replace(CONTROLS, ' ').trim();
}
