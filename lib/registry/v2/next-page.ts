import { resolveLocation } from '../../http/index.js';

const MAX_HEADER_LENGTH = 65536;

/**
 * Where a list continues according to its `Link` header (RFC 8288): the target of `rel="next"`, as a path and query at
 * the registry's own host, since registries behind a proxy name a host or scheme that only they can reach. Also taken:
 * targets without angle brackets or without `rel`, which some registries send. `unclear`: the header has a target but
 * cannot be understood; a list must then not be taken for complete. Undefined: the list ends here.
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

/** The link values of a header. A comma separates them only outside `<…>` and quotes, and where no `<…>` is used, never. */
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

/** The relation types of a link value in lower case; undefined without a `rel`. */
function relationsOf(parameters: string): string[] | undefined {
  const match = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
  return (match?.[1] ?? match?.[2])?.toLowerCase().split(/\s+/);
}
