/** Node's own limit for a head is 16 KiB; proxies with long policies exceed it. Bytes. */
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
 * Repairs the head of the one response that comes through a connection, for node's parser, which stays strict; the body
 * passes as it is. Only for a connection that serves one request and is closed then: where a response ends must not matter
 * to another one.
 */
export class HeadRepair {
  #held = NOTHING;
  #done = false;

  /** Takes what has arrived; returns what can be passed on. */
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
      // Another head follows an interim one (RFC 9110, 15.2).
      if (!/^HTTP\/\d\.\d 1\d\d/.test(text)) return Buffer.concat([...passed, this.flush()]);
    }
  }

  /** No more comes, or nothing that is to be repaired. */
  flush(): Buffer {
    const rest = this.#held;
    this.#held = NOTHING;
    this.#done = true;
    return rest;
  }
}

/**
 * A head as RFC 9112 wants it, made of one as some servers send it: lines that end in LF alone (2.2), folded ones (5.2),
 * control characters in values, a space before the colon (5.1), lines that are no field, the same Content-Length several
 * times, and one beside `Transfer-Encoding: chunked`, which then decides (6.3). What is ambiguous stays: the parser refuses it.
 * `head` and result in latin1, with the empty line at their end.
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

/** At most one field that says where the body ends, where they do not contradict each other. */
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
