import { InvalidReferenceError, withoutLogins } from '../errors.js';
import { isDigest, type Digest } from './digest.js';

/** The parsed name of an image at a registry; created by `parseReference`. */
export interface Reference {
  /** `host[:port]` as written; `docker.io` for a short form. */
  readonly host: string;
  /** Path in the registry, such as `library/alpine`. */
  readonly repository: string;
  /** Undefined only when there is a digest. */
  readonly tag?: string;
  readonly digest?: Digest;
  /** 1 with the prefix `docker-v1://`: use registry protocol v1. Not part of the name. */
  readonly registryVersion?: 1;
}

const DEFAULT_HOST = 'docker.io';
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const PATH_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST =
  /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::\d{1,5})?$/;

const WITH_COPY = 'use imgtool copy: imgtool copy SOURCE DESTINATION';
/**
 * Transports of containers-transports(5) and of `imgtool copy` other than registries, and the alternative for each. As
 * references they would mean images of Docker Hub: `dir:x` is library/dir with tag x.
 */
const OTHER_TRANSPORTS: ReadonlyMap<string, string> = new Map([
  ['dir', WITH_COPY],
  ['containers-storage', 'export it first: podman save --format oci-archive -o FILE IMAGE, then imgtool load -i FILE'],
  ['docker-daemon', 'export it first: docker save -o FILE IMAGE, then imgtool load -i FILE'],
  ['docker-archive', WITH_COPY],
  ['oci', WITH_COPY],
  ['oci-archive', WITH_COPY],
  ['store', WITH_COPY],
  ['ostree', 'copy it to a registry or an OCI layout with skopeo first'],
  ['sif', 'copy it to a registry or an OCI layout with skopeo first'],
  ['tarball', 'import a tar of files with: imgtool import FILE REFERENCE'],
]);

/**
 * Parses `[docker://|docker-v1://]HOST[:PORT]/REPO[:TAG][@DIGEST]` and Docker's short forms (`alpine` is
 * `docker.io/library/alpine:latest`). Grammar: distribution's reference package. Throws InvalidReferenceError.
 */
export function parseReference(input: string): Reference {
  const scheme = /^https?:\/\//i.exec(input)?.[0];
  const bad = (why: string): never => {
    throw new InvalidReferenceError(`${JSON.stringify(input.slice(0, 300))} is not an image reference: ${why}`, {
      input,
      hint:
        scheme === undefined
          ? withoutLogins(input) !== input
            ? 'log in with: imgtool login HOST; or use --creds USER:PASSWORD'
            : 'write HOST[:PORT]/REPOSITORY[:TAG][@sha256:…], or a short name such as alpine:3.20'
          : `leave out ${scheme}`,
    });
  };
  if (scheme !== undefined) bad('it is a URL');
  const transport = /^([a-z0-9-]+):/.exec(input)?.[1];
  if (transport !== undefined && OTHER_TRANSPORTS.has(transport)) {
    throw new InvalidReferenceError(
      `${JSON.stringify(input.slice(0, 300))} names an image by the transport ${transport}:, which is not supported here`,
      { input, hint: OTHER_TRANSPORTS.get(transport)! },
    );
  }
  const prefix = /^docker(-v1)?:\/\//.exec(input);
  let rest = input.slice(prefix?.[0].length ?? 0);
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const text = rest.slice(at + 1);
    if (withoutLogins(input) !== input) return bad('it contains a user name or password');
    if (!isDigest(text)) return bad('the part after @ is not a digest');
    digest = text;
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    if (!TAG.test(tag)) return bad('a tag may contain at most 128 letters, digits, _ . -');
    rest = rest.slice(0, colon);
  }
  const { host, repository } = splitRepository(rest, bad);
  if (tag === undefined && digest === undefined) tag = 'latest';
  return {
    host,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    ...(prefix?.[1] === undefined ? {} : { registryVersion: 1 }),
  };
}

/** Parses `HOST/REPO` without tag or digest, including short forms. Throws InvalidReferenceError. */
export function parseRepository(input: string): Pick<Reference, 'host' | 'repository' | 'registryVersion'> {
  const { host, repository, tag, digest, registryVersion } = parseReference(input);
  if (digest !== undefined || (tag !== undefined && input.endsWith(`:${tag}`))) {
    throw new InvalidReferenceError(`${JSON.stringify(input)} names one image, not a repository`, {
      input,
      hint: 'leave out the tag and the digest',
    });
  }
  return { host, repository, ...(registryVersion === undefined ? {} : { registryVersion }) };
}

/** The full form, `host/repository[:tag][@digest]`. Parsing it gives the same reference. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The short form that users type, without Docker Hub's host and `library/`. */
export function familiarReference(reference: Reference): string {
  const full = formatReference(reference);
  return full.startsWith('docker.io/library/')
    ? full.slice('docker.io/library/'.length)
    : full.startsWith('docker.io/')
      ? full.slice('docker.io/'.length)
      : full;
}

/** Reports whether `input` is a valid tag (distribution-spec, "Pulling manifests"). */
export function isTag(input: string): boolean {
  return TAG.test(input);
}

/** Reports whether `input` is a valid repository name (distribution-spec, "Pulling manifests"). */
export function isRepositoryName(input: string): boolean {
  return input.length <= 255 && input.split('/').every((part) => PATH_PART.test(part));
}

function splitRepository(rest: string, bad: (why: string) => never): { host: string; repository: string } {
  const slash = rest.indexOf('/');
  const first = slash < 0 ? '' : rest.slice(0, slash);
  const hasHost = first !== '' && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const host = hasHost ? first : DEFAULT_HOST;
  let repository = hasHost ? rest.slice(slash + 1) : rest;
  if (!HOST.test(host)) return bad(`${JSON.stringify(host)} is not a host name`);
  const port = /:(\d+)$/.exec(host);
  if (port !== null && (Number(port[1]) < 1 || Number(port[1]) > 65535)) return bad('the port is out of range');
  if (repository === '') return bad('the repository name is missing');
  if (repository !== repository.toLowerCase()) return bad('repository names must be lower case');
  if (host === DEFAULT_HOST && !repository.includes('/')) repository = `library/${repository}`;
  if (!isRepositoryName(repository))
    return bad('a repository name may contain lower-case letters and digits, with single . _ - or / between them');
  return { host, repository };
}

/** The digest and tag by which the registry is asked for a reference. */
export function tagOrDigest({ tag, digest }: Reference): { tag: string; digest?: Digest } | { digest: Digest } {
  if (tag === undefined) return { digest: digest! };
  return digest === undefined ? { tag } : { tag, digest };
}
