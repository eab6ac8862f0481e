/** How the tests run: a file a job, those that take longest first, so that none of them is left running alone at the end. */
const { readdirSync } = require('node:fs');
const { join } = require('node:path');

// What takes more than about 10 s, longest first. The order is all that this list decides: every file runs.
const LONG = [
  'e2e/build-cache-random',
  'e2e/build-cache-random-run',
  'e2e/build-peers',
  'e2e/change-remote-image',
  'e2e/build-options',
  'e2e/build-cache-mounts',
  'e2e/build-platforms',
  'e2e/kill-pull',
  'snapshot/changes',
  'e2e/completion',
  'e2e/package',
  'e2e/recipes',
  'queue/sync-queue',
  'e2e/unfinished-layers',
  'e2e/peer-flags',
  'e2e/run',
  'crash/kills',
  'crash/power',
  'e2e/full-disks',
  'e2e/build-recipes',
  'e2e/run-safety',
  'e2e/save-load',
  'e2e/pull-tree',
  'e2e/manifests-of-a-name',
  'e2e/build-without-store',
  'e2e/readme',
  'e2e/push',
  'e2e/export-import',
  'e2e/kill-commit',
  'e2e/cp',
  'e2e/store-fsck',
  'e2e/full-targets',
  'operations/pull-v1',
  'operations/copy/copy-image',
  'operations/copy/convert-image',
  'operations/sync/sync',
  'e2e/commit',
  'e2e/diff-remote',
  'e2e/own-btrfs',
  'e2e/build',
  'e2e/mirroring',
  'e2e/kill-push',
  'e2e/images',
  'e2e/login',
  'layer/apply-hostile-data',
  'layer/apply-lifecycle',
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
