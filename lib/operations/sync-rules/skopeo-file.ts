import { UsageError } from '../../errors.js';
import { isDigest, parseReference } from '../../spec/index.js';
import type { RegistryAccess } from '../registry/index.js';
import { parseRegex } from './parse-regex.js';
import { checkKeys, type FileNode } from './sync-file-node.js';
import type { SyncFileOptions } from './sync-file-options.js';
import { checkRanges } from './select-tags.js';
import { ALL_TAGS, parseSyncTarget, type SyncRule, type TagRules } from './sync-rule.js';

const KEYS = ['images', 'images-by-tag-regex', 'images-by-semver', 'credentials', 'tls-verify', 'cert-dir'] as const;

/** Reads the format of skopeo-sync(1): registries, with repositories and tags below. Throws UsageError with the line. */
export async function skopeoRules(root: FileNode, { targets, scoped }: SyncFileOptions): Promise<SyncRule[]> {
  if (targets.length === 0) {
    throw root.valueError(
      'has no sync: list',
      'write one (docs/mirroring.md), or give a target for a file of skopeo: sync FILE DST',
    );
  }
  const places = targets.map((text) => {
    const target = parseSyncTarget(text, 'list');
    return scoped ? { ...target, keep: 'host' as const } : target;
  });
  const rules: SyncRule[] = [];
  for (const [host, registry] of root.members()) {
    const name = registry.parsedKey((text) => parseReference(`${text}/x`).host, host);
    const members = checkKeys(registry, KEYS);
    const sourceAccess = accessOf(name, members);
    const add = (repository: string, tags: TagRules): void => {
      rules.push({
        ...{ host: name, repositories: [parseReference(`${host}/${repository}`).repository], targets: places, tags },
        ...(sourceAccess === undefined ? {} : { sourceAccess }),
        ...{ platforms: [], referrers: false, deleteExtra: undefined, hook: [] },
      });
    };
    for (const [repository, node] of members.get('images')?.members() ?? []) {
      const tags = node.value === null ? [] : node.texts();
      if (tags.some(isDigest)) throw node.valueError('names a digest, which never changes', 'use imgtool copy for it');
      add(repository, tags.length === 0 ? ALL_TAGS : { ...ALL_TAGS, exact: tags });
    }
    for (const [repository, node] of members.get('images-by-tag-regex')?.members() ?? []) {
      add(repository, { ...ALL_TAGS, allowRegex: [node.parsed(parseRegex)] });
    }
    for (const [repository, node] of members.get('images-by-semver')?.members() ?? []) {
      await checkRanges([node.text()]).catch((error: unknown) => {
        throw error instanceof UsageError ? node.valueError(`: ${error.message}`) : error;
      });
      add(repository, { ...ALL_TAGS, semver: [node.text()] });
    }
  }
  return rules;
}

/** Access settings in a registry's entry. Throws UsageError with the line. */
function accessOf(host: string, members: ReadonlyMap<string, FileNode>): RegistryAccess | undefined {
  const credentials = members.get('credentials');
  const login = credentials === undefined ? undefined : checkKeys(credentials, ['username', 'password']);
  const username = login?.get('username')?.text() ?? '';
  const password = login?.get('password')?.text() ?? '';
  if (credentials !== undefined && (username === '' || password === '')) {
    throw credentials.valueError('has no username or no password', `log in with: imgtool login ${host}`);
  }
  const access = {
    ...(login === undefined ? {} : { login: { host, username, password } }),
    ...(members.get('tls-verify')?.flag() === false ? { tlsVerify: false } : {}),
    ...(members.has('cert-dir') ? { certDir: members.get('cert-dir')!.text() } : {}),
  };
  return Object.keys(access).length === 0 ? undefined : access;
}
