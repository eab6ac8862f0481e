#!/usr/bin/env node
// tour [--print]: runs the quick tour of the README against a registry on loopback and puts the commands with their real
// output into README.md, or prints them. Only the address of the registry and the times are replaced.
// Needs root and the build (npm run build).
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeOciLayout } from '../../dist/test/helpers/oci-layout.js';

const IMGTOOL = fileURLToPath(new URL('../imgtool', import.meta.url));
const README = new URL('../../README.md', import.meta.url);
const SHOWN_HOST = 'localhost:5000';
const MARKS = /(<!-- tour -->\n)[^]*(<!-- end of tour -->)/;

const COMMANDS = [
  `imgtool pull ${SHOWN_HOST}/team/app:1`,
  `box=$(imgtool create ${SHOWN_HOST}/team/app:1)`,
  'echo "workers = 4" >> $(imgtool mount $box)/etc/app.conf',
  'imgtool diff $box',
  `imgtool commit $box ${SHOWN_HOST}/team/app:2`,
  `imgtool push ${SHOWN_HOST}/team/app:2`,
];

const directory = mkdtempSync(join(tmpdir(), 'imgtool-tour-'));
let server;
process.on('exit', () => {
  server?.kill('SIGTERM');
  const mounts = execFileSync('findmnt', ['-rno', 'TARGET'], { encoding: 'utf8' }).split('\n');
  for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`)).reverse())
    execFileSync('umount', [mount]);
  rmSync(directory, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(9));

const layout = join(directory, 'layout');
await writeOciLayout(layout, [{ tag: '1', layers: layers() }]);
server = spawn(IMGTOOL, ['serve', '--listen', '127.0.0.1:0', '--dir', join(directory, 'registry')], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const [line] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit')]);
const host = String(line).trim().replace('http://', '');
const env = {
  HOME: directory,
  PATH: [dirname(IMGTOOL), dirname(process.execPath), '/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
  IMGTOOL_ROOT: join(directory, 'store'),
  SOURCE_DATE_EPOCH: '1714564800',
};
execFileSync(IMGTOOL, ['-q', 'store', 'init'], { env });
execFileSync(IMGTOOL, ['-q', 'copy', `oci:${layout}:1`, `docker://${host}/team/app:1`], { env });
const script = COMMANDS.map((command) => `printf '$ %s\\n' '${command}'\n${command.replaceAll(SHOWN_HOST, host)}\n`);
const output = execFileSync('bash', ['-ec', `exec 2>&1\n${script.join('')}`], { env, encoding: 'utf8' });
const text = output
  .replaceAll(host, SHOWN_HOST)
  .replaceAll(/ in \d+(\.\d+)?s$/gm, '')
  .trimEnd();

if (process.argv.includes('--print')) process.stdout.write(`${text}\n`);
else {
  const page = readFileSync(README, 'utf8');
  if (!MARKS.test(page)) throw new Error('README.md has no marks for the tour');
  const shown = `\`\`\`console\n${text}\n\`\`\`\n`;
  writeFileSync(
    README,
    page.replace(MARKS, (_, begin, end) => begin + shown + end),
  );
}
process.exit(0);

/** A base, a runtime and an application; bytes that do not compress, the same at each run. */
function layers() {
  const bytes = (seed, kilobytes) =>
    Buffer.concat(
      Array.from({ length: kilobytes * 16 }, (_, n) => createHash('sha512').update(`${seed} ${n}`).digest()),
    );
  const directories = (...paths) => paths.map((path) => ({ path, type: 'dir' }));
  return [
    { entries: [...directories('etc', 'usr', 'usr/lib'), { path: 'usr/lib/libc.so', content: bytes('libc', 9000) }] },
    { entries: [...directories('opt'), { path: 'opt/runtime', mode: 0o755, content: bytes('runtime', 14000) }] },
    {
      entries: [
        ...directories('etc', 'srv'),
        { path: 'etc/app.conf', content: 'port = 80\n' },
        { path: 'srv/app', content: bytes('app', 300) },
      ],
    },
  ];
}
