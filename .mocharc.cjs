/** How the tests run: a file a job, those that take longest first, so that none of them is left running alone at the end. */
const { readdirSync } = require('node:fs');
const { join } = require('node:path');

// What takes more than about 15 s, longest first. The order is all that this list decides: every file runs.
const LONG = [
  'e2e/build-cache-random',
  'e2e/build-cache-random-run',
  'e2e/build-peers',
  'e2e/build',
  'e2e/change-remote-image',
  'e2e/build-options',
  'e2e/build-cache-mounts',
  'e2e/build-platforms',
  'e2e/kill-pull',
  'e2e/commit',
  'e2e/completion',
  'e2e/package',
  'e2e/run',
  'e2e/recipes',
  'e2e/full-disks',
  'e2e/peer-flags',
  'e2e/pull-tree',
  'e2e/save-load',
  'e2e/push',
  'operations/pull-v1',
  'snapshot/changes',
  'queue/sync-queue',
  'e2e/login',
  'e2e/diff-remote',
  'e2e/kill-commit',
  'e2e/images',
  'e2e/mirroring',
  'operations/copy/copy-image',
  'operations/copy/convert-image',
  'e2e/change-image',
  'e2e/schema1',
  'e2e/store-fsck',
  'e2e/export-import',
  'e2e/copy-archives',
  'e2e/commit-faults',
  'operations/sync/sync',
  'e2e/kill-push',
  'e2e/store-gc',
  'layer/apply-hostile-data',
  'layer/apply-lifecycle',
  'e2e/v1-serve',
  'e2e/kill-pull-v1',
  'e2e/cp',
  'e2e/unfinished-layers',
  'e2e/manifests-of-a-name',
  'crash/kills',
  'crash/power',
].map((name) => join('dist/test', `${name}.test.js`));

const files = readdirSync('dist/test', { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => join('dist/test', name))
  .sort();

module.exports = {
  spec: [...LONG.filter((name) => files.includes(name)), ...files.filter((name) => !LONG.includes(name))],
  timeout: 180000,
  forbidOnly: true,
  require: ['dist/test/helpers/hooks.js'],
  parallel: true,
  jobs: 4,
};
