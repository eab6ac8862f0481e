import { chmod, chown, lchown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createCredentialStore } from '../../lib/auth/index.js';
import { AuthenticationError, UsageError } from '../../lib/errors.js';
import { mayNamePrograms } from '../../lib/util/index.js';
import { IMGTOOL } from '../helpers/imgtool.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';

/** Somebody other than root. */
const OTHER = 65_534;

describe('settings that name programs', () => {
  let directory: string;
  const path = (...names: string[]): string => join(directory, ...names);
  before(function () {
    if (process.geteuid!() !== 0) this.skip();
  });
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-own-'));
    await chmod(directory, 0o755);
    await mkdir(path('inner'));
    await writeFile(path('inner/file'), 'text');
  });
  afterEach(async () => {
    // `run` makes the store that it pulls into.
    await run('umount', ['--lazy', path('none')]).catch(() => undefined);
    await rm(directory, { recursive: true, force: true });
  });

  describe('count for root from a file', () => {
    const cases: Record<
      string,
      { readonly make: () => Promise<void>; readonly name?: string; readonly want: boolean }
    > = {
      'that is its own': { make: () => Promise.resolve(), want: true },
      'below a link of its own': {
        make: () => symlink('inner/', path('link')),
        name: 'link/../inner/file',
        want: true,
      },
      'that is not there': { make: () => Promise.resolve(), name: 'none', want: false },
      'that is a directory': { make: () => Promise.resolve(), name: 'inner', want: false },
      'of another user': { make: () => chown(path('inner/file'), OTHER, 0), want: false },
      'that all can write': { make: () => chmod(path('inner/file'), 0o666), want: false },
      'that another group can write': {
        make: () => chown(path('inner/file'), 0, OTHER).then(() => chmod(path('inner/file'), 0o664)),
        want: false,
      },
      'in a directory of another user': { make: () => chown(path('inner'), OTHER, 0), want: false },
      'in a directory that all can write': { make: () => chmod(path('inner'), 0o777), want: false },
      'in a directory like /tmp': { make: () => chmod(path('inner'), 0o1777), want: true },
      "behind another user's link": {
        make: () => symlink('file', path('inner/link')).then(() => lchown(path('inner/link'), OTHER, OTHER)),
        name: 'inner/link',
        want: false,
      },
      "behind a link in another user's directory, such as one to /proc/PID/cmdline": {
        make: async () => {
          await mkdir(path('home'));
          await symlink('/proc/self/cmdline', path('home/config'));
          await chown(path('home'), OTHER, OTHER);
        },
        name: 'home/config',
        want: false,
      },
      'behind links in a circle': {
        make: () => symlink('b', path('a')).then(() => symlink('a', path('b'))),
        name: 'a',
        want: false,
      },
    };
    for (const [title, { make, name = 'inner/file', want }] of Object.entries(cases))
      it(`${title}: ${want ? 'yes' : 'no'}`, async () => {
        await make();
        expect(mayNamePrograms(path(name))).to.equal(want);
      });
  });

  it("are refused where root reads another user's config file, and only by the command that they are for", async () => {
    await mkdir(path('inner/imgtool'));
    await writeFile(
      path('inner/imgtool/config.yaml'),
      'run: {runtime: /tmp/evil}\nsync: {hook: /tmp/evil}\nquiet: true\n',
    );
    await chown(path('inner/imgtool/config.yaml'), OTHER, OTHER);
    const env = { XDG_CONFIG_HOME: path('inner'), HOME: directory };
    const imgtool = (...args: string[]): Promise<string> => run(IMGTOOL, ['--root', path('none'), ...args], { env });
    const file = path('inner/imgtool/config.yaml');
    for (const [args, setting] of [
      [['run', 'box', '--', 'true'], 'run.runtime'],
      [['sync', '127.0.0.1:1/a', '127.0.0.1:1/b'], 'sync.hook'],
    ] as const) {
      const { message } = await rejection(imgtool(...args));
      expect(message).to.include(
        `${setting} in ${file} names a program, and users other than root can change that file`,
      );
    }
    expect(await imgtool('images')).to.equal('');
    expect((await rejection(imgtool('run', '--runtime', 'nosuchruntime', 'box', '--', 'true'))).message).to.not.include(
      file,
    );
    await chown(file, 0, 0);
    expect((await rejection(imgtool('run', 'box', '--', 'true'))).message).to.not.include(file);
  });

  it("are refused in another user's file of mirrors, which is read when it names none", async () => {
    const file = path('mirrors.yaml');
    const mirror = 'sync: [{source: 127.0.0.1:1/a, target: 127.0.0.1:1/b';
    const sync = async (): Promise<string> => (await rejection(run(IMGTOOL, ['sync', file, '--retry', '0']))).message;
    await writeFile(file, `${mirror}, hook: [/tmp/evil]}]`);
    await chown(file, OTHER, OTHER);
    expect(await sync()).to.include(`hook in ${file} names a program`);
    await writeFile(file, `${mirror}}]`);
    expect(await sync()).to.not.include('names a program');
  });

  it("are refused for root as a credential helper in another user's credentials file, whose passwords still serve", async () => {
    const authfile = path('config.json');
    const auths = { 'plain.example': { auth: Buffer.from('me:pass').toString('base64') } };
    await writeFile(authfile, JSON.stringify({ auths, credHelpers: { 'helped.example': 'evil' } }));
    await chown(authfile, OTHER, OTHER);
    const store = createCredentialStore({ authfile, env: { PATH: '/usr/bin' } });
    const { signal } = new AbortController();
    expect(await store.find('plain.example', { signal })).to.include({ username: 'me', password: 'pass' });
    const error = await rejection(store.find('helped.example', { signal }));
    expect(error).to.be.instanceOf(AuthenticationError).and.not.instanceOf(UsageError);
    expect(error.message).to.include(
      'names the credential helper docker-credential-evil, and users other than root can change',
    );
  });
});
