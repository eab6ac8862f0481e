import { resolveLocation } from '../../http/index.js';

const MAX_HEADER_LENGTH = 65536;

/**
 * The next page of a list according to the `Link` header (RFC 8288): the target of `rel="next"`, as path and query at
 * the registry's own host, since registries behind a proxy name a host or scheme that only they can reach. Also accepts
 * targets without angle brackets or without `rel`, which some registries send. Returns `unclear` for a target that
 * cannot be understood; the list must then not be taken as complete. Undefined: this is the last page.
 */
export function nextPage(
  link: string | string[] | undefined,
  base: string,
): { readonly path: string } | 'unclear' | undefined {
  let isUnclear = false;
  for (const header of [link ?? []].flat()) {
    if (header.length > MAX_HEADER_LENGTH) return 'unclear';
    for (const value of splitValues(header)) {
      const rel = relationsOf(value.parameters);
      if (rel !== undefined && !rel.includes('next')) continue;
      const url = resolveLocation(value.target, new URL(base));
      if (value.target !== '' && url !== undefined) return { path: `${url.pathname}${url.search}` };
      isUnclear = true;
    }
  }
  return isUnclear ? 'unclear' : undefined;
}

/** Splits a header into link values. Commas separate values only outside `<…>` and quotes, and never when there is no `<…>`. */
function splitValues(header: string): { readonly target: string; readonly parameters: string }[] {
  const text = header.trim();
  if (text === '') return [];
  if (!text.startsWith('<')) {
    const end = text.indexOf(';');
    return [{ target: (end < 0 ? text : text.slice(0, end)).trim(), parameters: end < 0 ? '' : text.slice(end) }];
  }
  return [...text.matchAll(/<([^<>]*)>((?:"[^"]*"|[^",<])*)/g)].map(([, target, parameters]) => ({
    target: target!.trim(),
    parameters: parameters!,
  }));
}

/** The relation types of a link value in lower case. Undefined without a `rel`. */
function relationsOf(parameters: string): string[] | undefined {
  const match = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
  return (match?.[1] ?? match?.[2])?.toLowerCase().split(/\s+/);
}
