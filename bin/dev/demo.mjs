#!/usr/bin/env node
// Offline demo: makes a small image, serves it on loopback, pulls, changes, commits, pushes, builds on and
// copies it, over protocol v1 too. Leaves nothing.
// Run through `npm run demo`: it needs the build and busybox-static.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const IMGTOOL = fileURLToPath(new URL('../imgtool', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'imgtool-demo-'));
const root = join(directory, 'store');
let server;

process.on('exit', cleanUp);
process.on('uncaughtException', (error) => {
  process.stderr.write(`demo: failed: ${error.message}\n`);
  process.exit(1);
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])
  process.on(signal, () => process.exit(code));

/** Unmounts what lies below the demo's directory, which frees the loop device too, and deletes it. */
function cleanUp() {
  server?.kill('SIGTERM');
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts
    .filter((path) => path.startsWith(`${directory}/`))
    .sort()
    .reverse())
    execFileSync('umount', [mount]);
  rmSync(directory, { recursive: true, force: true });
}

function say(text) {
  process.stdout.write(process.stdout.isTTY ? `\n\x1b[1m${text}\x1b[0m\n` : `\n== ${text}\n`);
}

/** Shows a command, runs it, shows what it prints and how long it took. */
function imgtool(...args) {
  const { output, seconds } = quietly(...args);
  process.stdout.write(`${output}  (${seconds} s)\n`);
  return output.trim();
}

/** Shows a command and runs it, for output that is not for people. */
function quietly(...args) {
  process.stdout.write(`$ imgtool ${args.join(' ')}\n`);
  const started = performance.now();
  const output = execFileSync(IMGTOOL, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, IMGTOOL_ROOT: root },
  });
  return { output, seconds: ((performance.now() - started) / 1000).toFixed(2) };
}

const started = performance.now();
say('A small image: busybox, whiteouts, a capability, a device, hard links; four layers');
const layout = join(directory, 'layout');
const { writeSmallImage } = await import('../../dist/test/helpers/small-image.js');
process.stdout.write(`${await writeSmallImage(layout)}\n`);

say('A registry on loopback, and the image into it');
server = spawn(IMGTOOL, ['serve', '--listen', '127.0.0.1:0', '--dir', join(directory, 'registry')], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const [line] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit')]);
const url = String(line).trim();
process.stdout.write(`$ imgtool serve\n${url}\n`);
const reference = `${url.replace('http://', '')}/demo/small:1`;
imgtool('copy', `oci:${layout}`, `docker://${reference}`);

say('Pulled into btrfs: each layer is a read-only subvolume, a snapshot of its parent');
imgtool('pull', reference);
imgtool('pull', reference);
imgtool('images');
imgtool('history', reference);

say('A container is a writable snapshot; its files are on disk');
imgtool('create', '--name', 'box', reference);
const rootfs = imgtool('mount', 'box');
process.stdout.write(`$ ls -l ${rootfs}/bin ${rootfs}/srv ${rootfs}/dev\n`);
process.stdout.write(
  execFileSync('ls', ['-l', ...['bin', 'srv', 'dev'].map((name) => join(rootfs, name))], { encoding: 'utf8' }),
);
if (existsSync(join(rootfs, 'etc/motd'))) throw new Error('a deleted file is still there');

say('Changed by hand: a file more, one longer, one less, a mode; diff asks btrfs and looks at nothing else');
writeFileSync(join(rootfs, 'srv/new'), 'a new file\n');
appendFileSync(join(rootfs, 'srv/noted'), 'one line more\n');
rmSync(join(rootfs, 'srv/third'));
chmodSync(join(rootfs, 'bin/busybox'), 0o700);
imgtool('diff', 'box', '--stat');

say('Changed by a command: it runs in the container, with its exit code and signals');
imgtool('run', 'box', '--network', 'none', '--', '/bin/busybox', 'sh', '-c', 'id -u; echo by a command > /srv/command');
imgtool('diff', 'box');

say('Committed: only that is packed, and the frozen snapshot becomes the layer');
imgtool('commit', 'box', reference.replace(/:1$/, ':2'), '-m', 'five changes', '--change', 'CMD ["sh"]');
imgtool('history', reference.replace(/:1$/, ':2'));
imgtool('images');

say('Pushed: one layer, a config and a manifest; the rest is at the registry already');
imgtool('push', reference.replace(/:1$/, ':2'));
imgtool('tags', reference.replace(/:1$/, ''));

say('Built from a Dockerfile: each step is a snapshot; after a change only the last step is done again, and pushed');
const context = join(directory, 'context');
mkdirSync(context);
writeFileSync(
  join(context, 'Dockerfile'),
  `FROM ${reference.replace(/:1$/, ':2')}
RUN ["/bin/busybox", "sh", "-c", "echo by a step > /srv/step"]
COPY app /srv/app
`,
);
const built = reference.replace('/small:1', '/built:1');
for (const version of ['1', '2']) {
  writeFileSync(join(context, 'app'), `version ${version}\n`);
  imgtool('build', '--tag', built, '--push', '--network', 'none', context);
}
imgtool('history', built);

say('Copied between repositories: blobs are mounted, not sent; then saved as one file');
imgtool('copy', `docker://${reference.replace(/:1$/, ':2')}`, `docker://${reference.replace('/small:1', '/mirror:2')}`);
imgtool('save', reference.replace(/:1$/, ':2'), '-o', join(directory, 'small.tar'));

say('Registry protocol v1, as Docker spoke it until 2017: the same registry answers it, each layer is an image there');
const [old, next] = ['2', '3'].map((tag) => reference.replace('/small:1', `/mirror:${tag}`));
imgtool('pull', `docker-v1://${old}`);
imgtool('create', '--name', 'old', old);
writeFileSync(join(imgtool('mount', 'old'), 'srv/by-v1'), 'a file more\n');
imgtool('commit', 'old', next, '-m', 'one file more');
const push = quietly('push', next, `docker-v1://${next}`, '--json');
const { layers } = JSON.parse(push.output);
const sent = layers.filter(({ state }) => state === 'uploaded');
if (sent.length !== 1) throw new Error(`${sent.length} images were sent, not the new one alone`);
process.stdout.write(`${sent.length} of ${layers.length} images sent  (${push.seconds} s)\n`);

say('What was pushed over v1 reads over v2');
imgtool('tags', next.replace(/:3$/, ''));
imgtool('digest', next);
imgtool('diff', `docker://${next}`, `docker://${old}`);

say('Sizes');
const pool = `${root}.btrfs`;
if (existsSync(pool)) {
  const { size, blocks } = statSync(pool);
  process.stdout.write(
    `embedded pool: ${((blocks * 512) / 1e6).toFixed(1)} MB on disk, ${(size / 1e9).toFixed(0)} GB virtual\n`,
  );
}
imgtool('rm', 'box');
imgtool('rm', 'old');
say(`Done in ${((performance.now() - started) / 1000).toFixed(1)} s; everything is removed now.`);
process.exit(0);
