import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createCredentialStore, parseRegistryKey, type CredentialStore } from '../../lib/auth/index.js';
import { AuthenticationError, UsageError } from '../../lib/errors.js';
import { BAD_HELPERS, makeHelpers, type FakeHelpers } from '../helpers/fake-credential-helper.js';
import { rejection } from '../helpers/rejection.js';

const { signal } = new AbortController();
const auth = (login: string): { auth: string } => ({ auth: Buffer.from(login).toString('base64') });

describe('credential store', () => {
  let directory: string;
  let helpers: FakeHelpers;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-credentials-'));
    helpers = await makeHelpers(directory, ['keep', 'other', ...Object.keys(BAD_HELPERS)]);
  });
  afterEach(() => rm(directory, { recursive: true }));

  const docker = (): string => join(directory, '.docker/config.json');
  const write = async (path: string, content: unknown): Promise<void> => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  };
  const store = (env: Record<string, string> = {}, authfile?: string, helperTimeoutMs = 30_000): CredentialStore =>
    createCredentialStore({
      env: { HOME: directory, XDG_RUNTIME_DIR: join(directory, 'run'), PATH: helpers.path, ...env },
      authfile,
      helperTimeoutMs,
    });
  const find = async (host: string, repository?: string, from = store()): Promise<string | undefined> => {
    const found = await from.find(host, { repository, signal });
    return found === undefined ? undefined : `${found.username}:${found.password}`;
  };

  describe('finding', () => {
    it('finds nothing where there is no file', async () => {
      expect(await find('reg.example')).to.equal(undefined);
    });

    it('takes the most specific key, whatever the order', async () => {
      await write(docker(), {
        auths: {
          'reg.example': auth('host:1'),
          'reg.example/team': auth('team:1'),
          'reg.example/team/app': auth('app:1'),
          '*.example.org': auth('any:1'),
          'a.example.org': auth('a:1'),
          'reg.example:5000': auth('port:p:w'),
        },
      });
      const wanted: readonly (readonly [string, string | undefined, string | undefined])[] = [
        ['reg.example', undefined, 'host:1'],
        ['reg.example', 'other/app', 'host:1'],
        ['reg.example', 'team', 'team:1'],
        ['reg.example', 'team/apple', 'team:1'],
        ['reg.example', 'team/app', 'app:1'],
        ['reg.example', 'team/app/deep', 'app:1'],
        ['reg.example', 'teams/app', 'host:1'],
        ['REG.example', undefined, 'host:1'],
        ['reg.example:5000', 'team/app', 'port:p:w'],
        ['reg.example:5001', undefined, undefined],
        ['a.example.org', undefined, 'a:1'],
        ['b.example.org', undefined, 'any:1'],
        ['b.example.org:5000', undefined, undefined],
        ['example.org', undefined, undefined],
        ['a.b.example.org', undefined, undefined],
        ['evil-reg.example', undefined, undefined],
        ['reg.example.evil.test', undefined, undefined],
      ];
      for (const [host, repository, login] of wanted)
        expect(await find(host, repository), `${host} ${repository ?? ''}`).to.equal(login);
    });

    it('takes those of DOCKER_AUTH_CONFIG before those of files, but not before a file that the user names', async () => {
      await write(docker(), { auths: { 'reg.example': auth('file:1'), 'other.example': auth('other:1') } });
      const env = { DOCKER_AUTH_CONFIG: JSON.stringify({ auths: { 'reg.example': auth('env:1') } }) };
      expect(await find('reg.example', undefined, store(env))).to.equal('env:1');
      expect(await find('other.example', undefined, store(env))).to.equal('other:1');
      expect(await find('reg.example', undefined, store(env, docker()))).to.equal('file:1');
      expect(await find('reg.example', undefined, store({ ...env, REGISTRY_AUTH_FILE: docker() }))).to.equal('file:1');
      expect((await store(env).find('reg.example', { signal }))!.source).to.equal('DOCKER_AUTH_CONFIG');
      expect(await find('reg.example', undefined, store({ DOCKER_AUTH_CONFIG: '' }))).to.equal('file:1');
    });

    it('says that DOCKER_AUTH_CONFIG is wrong, without a word of what it says', async () => {
      const error = await rejection(store({ DOCKER_AUTH_CONFIG: '{"auths": secret' }).find('reg.example', { signal }));
      expect(error).to.be.instanceOf(AuthenticationError);
      expect(error.message).to.equal('the variable DOCKER_AUTH_CONFIG is not JSON');
      expect(error.hint).to.equal('repair or unset the variable');
    });

    it('keeps a login in a file though DOCKER_AUTH_CONFIG is set', async () => {
      const env = { DOCKER_AUTH_CONFIG: '{}' };
      const kept = await store(env).save(
        parseRegistryKey('reg.example'),
        { username: 'me', password: 'p' },
        { signal },
      );
      expect(kept.file).to.equal(docker());
      expect(await find('reg.example', undefined, store(env))).to.equal('me:p');
    });

    it('takes those of .dockercfg last, and never writes there', async () => {
      const legacy = join(directory, '.dockercfg');
      const entries = { 'https://reg.example/v1/': { ...auth('old:1'), email: 'a@b' }, 'other.example': auth('old:2') };
      await write(legacy, entries);
      expect(await find('reg.example')).to.equal('old:1');
      await write(docker(), { auths: { 'reg.example': auth('new:1') } });
      expect(await find('reg.example')).to.equal('new:1');
      expect(await find('other.example')).to.equal('old:2');
      expect(await store().remove(parseRegistryKey('other.example'), { signal })).to.deep.equal([]);
      expect(JSON.parse(await readFile(legacy, 'utf8'))).to.deep.equal(entries);
    });

    it('reads base64 with line feeds in it, and files with a byte order mark', async () => {
      const broken = auth(`me:${'x'.repeat(80)}`).auth.replace(/.{76}/g, '$&\r\n');
      await write(docker(), `\ufeff${JSON.stringify({ auths: { 'reg.example': { auth: `${broken}\n` } } })}`);
      expect(await find('reg.example')).to.equal(`me:${'x'.repeat(80)}`);
      await store().save(parseRegistryKey('new.example'), { username: 'me', password: 'p' }, { signal });
      expect(await find('new.example')).to.equal('me:p');
      expect(await find('reg.example')).to.equal(`me:${'x'.repeat(80)}`);
    });

    it('knows the spellings of Docker Hub and of Docker', async () => {
      await write(docker(), {
        auths: { 'https://index.docker.io/v1/': auth('hub:1'), 'http://old.example/v1/': auth('old:1') },
      });
      for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io'])
        expect(await find(host, 'library/alpine')).to.equal('hub:1');
      expect(await find('old.example', 'team/app')).to.equal('old:1');
    });

    it("reads Docker's file first, then those of containers; a more specific key in a later file wins", async () => {
      await write(docker(), { auths: { 'reg.example': auth('docker:1') } });
      await write(join(directory, 'run/containers/auth.json'), {
        auths: { 'reg.example': auth('run:1'), 'run.example': auth('run:2'), 'reg.example/team': auth('team:1') },
      });
      await write(join(directory, '.config/containers/auth.json'), {
        auths: { 'run.example': auth('config:1'), 'config.example': auth('config:2') },
      });
      expect(await find('reg.example')).to.equal('docker:1');
      expect(await find('reg.example', 'team/x')).to.equal('team:1');
      expect(await find('run.example')).to.equal('run:2');
      expect(await find('config.example')).to.equal('config:2');
    });

    it('reads the files that variables name, and no other than --authfile or REGISTRY_AUTH_FILE', async () => {
      await write(docker(), { auths: { 'reg.example': auth('docker:1') } });
      const named = (name: string): string => join(directory, name, 'config.json');
      for (const name of ['config', 'registry', 'flag'])
        await write(named(name), { auths: { [`${name}.example`]: auth(`${name}:1`) } });
      const config = store({ DOCKER_CONFIG: join(directory, 'config') });
      expect(await find('config.example', undefined, config)).to.equal('config:1');
      expect(await find('reg.example', undefined, config)).to.equal(undefined);
      const registry = { REGISTRY_AUTH_FILE: named('registry') };
      expect(await find('registry.example', undefined, store(registry))).to.equal('registry:1');
      expect(await find('reg.example', undefined, store(registry))).to.equal(undefined);
      expect(await find('flag.example', undefined, store(registry, named('flag')))).to.equal('flag:1');
      expect(await find('registry.example', undefined, store(registry, named('flag')))).to.equal(undefined);
      const missing = await rejection(find('x.example', undefined, store({}, join(directory, 'missing'))));
      expect(missing).to.be.instanceOf(UsageError);
    });

    it('reads tokens, plain fields and entries without anything', async () => {
      await write(docker(), {
        auths: {
          'id.example': { auth: auth('me:').auth, identitytoken: 'refresh' },
          'reg.example': { registrytoken: 'bearer' },
          'plain.example': { username: 'me', password: 'pw' },
          'empty.example': {},
          'null.example': null,
        },
      });
      const found = (host: string): ReturnType<CredentialStore['find']> => store().find(host, { signal });
      expect(await found('id.example')).to.include({ username: 'me', identityToken: 'refresh' });
      expect(await found('reg.example')).to.include({ registryToken: 'bearer' });
      expect(await find('plain.example')).to.equal('me:pw');
      expect(await found('empty.example')).to.equal(undefined);
      expect(await found('null.example')).to.equal(undefined);
    });

    it('gives out the headers that Docker passes on to registries, and no others', async () => {
      await write(docker(), {
        HttpHeaders: {
          'X-Meta-Team': 'a',
          'x-meta-bad': 'a\r\nX: y',
          Authorization: 'secret',
          'User-Agent': 'x',
          'X-Meta-N': 1,
        },
      });
      await write(join(directory, 'run/containers/auth.json'), {
        HttpHeaders: { 'X-Meta-Team': 'b', 'X-Meta-Site': 'c' },
      });
      expect(await store().requestHeaders()).to.deep.equal({ 'x-meta-team': 'a', 'x-meta-site': 'c' });
    });

    for (const [what, content] of [
      ['is not JSON', '{"auths": {"reg.example": {"auth": "c2VjcmV0OnNlY3JldA=="},'],
      ['is a list', '[]'],
      ['has a list of auths', '{"auths": ["c2VjcmV0OnNlY3JldA=="]}'],
      ['has an entry that is no login', '{"auths": {"reg.example": {"auth": "c2VjcmV0"}}}'],
    ] as const)
      it(`says so, and nothing of its content, when a file ${what}`, async () => {
        await write(docker(), content);
        const error = await rejection(find('reg.example'));
        expect(error).to.be.instanceOf(AuthenticationError);
        expect(error.message).to.include(docker()).and.not.include('c2Vj').and.not.include('secret');
      });
  });

  it('a login removes what one that was killed has left of the file, credentials in it', async () => {
    const killed = join(dirname(docker()), '.new-config.json-0123456789ab');
    await write(killed, { auths: { 'reg.example': auth('me:secret') } });
    await write(join(dirname(docker()), '.new-config.json-notes'), '');
    await store().save(parseRegistryKey('other.example'), { username: 'me', password: 'x' }, { signal });
    expect((await readdir(dirname(docker()))).sort()).to.deep.equal(['.new-config.json-notes', 'config.json']);
  });

  describe('credential helpers', () => {
    it('of a host wins over the one for all; what it does not have is looked for elsewhere, under the same host', async () => {
      await write(docker(), {
        credsStore: 'other',
        credHelpers: { 'reg.example': 'keep' },
        auths: { 'reg.example': auth('file:1'), 'else.example': {} },
      });
      expect(await find('reg.example')).to.equal('file:1');
      expect(await helpers.argv('other')).to.equal('');
      const saved = await store().save(
        parseRegistryKey('reg.example'),
        { username: 'me', password: 'p"w\\ü' },
        { signal },
      );
      expect(saved.helper).to.equal('keep');
      expect(await find('reg.example')).to.equal('me:p"w\\ü');
      expect(await find('else.example')).to.equal(undefined);
      expect(await helpers.argv('other')).to.equal('get\n');
    });

    it('keep what login gives them, under the name Docker uses, with no secret in file or arguments', async () => {
      await write(docker(), { credsStore: 'keep', auths: { 'docker.io': auth('old:old') } });
      const key = parseRegistryKey('docker.io');
      await store().save(key, { username: 'me', password: 'hidden' }, { signal });
      expect(JSON.parse((await helpers.kept('keep', 'https://index.docker.io/v1/'))!)).to.deep.equal({
        ServerURL: 'https://index.docker.io/v1/',
        Username: 'me',
        Secret: 'hidden',
      });
      expect(JSON.parse(await readFile(docker(), 'utf8'))).to.deep.equal({
        credsStore: 'keep',
        auths: { 'https://index.docker.io/v1/': {} },
      });
      expect(await helpers.argv('keep')).to.equal('store\n');
      const [removed] = await store().remove(key, { signal });
      expect(removed?.helper).to.equal('keep');
      expect(await helpers.kept('keep', 'https://index.docker.io/v1/')).to.equal(undefined);
      expect(await store().remove(key, { signal })).to.deep.equal([]);
    });

    it('may give a refresh token in place of a password', async () => {
      await write(docker(), { credHelpers: { 'reg.example': 'keep' } });
      await store().save(parseRegistryKey('reg.example'), { username: '<token>', password: 'refresh' }, { signal });
      const found = await store().find('reg.example', { signal });
      expect(found).to.include({ username: '', password: '', identityToken: 'refresh' });
    });

    it('are asked once for many requests', async () => {
      await write(docker(), { credHelpers: { 'reg.example': 'keep' } });
      const one = store();
      await Promise.all([1, 2, 3].map(() => find('reg.example', 'a', one)));
      await find('reg.example', 'a', one);
      expect(await helpers.argv('keep')).to.equal('get\n');
    });

    for (const name of [...Object.keys(BAD_HELPERS), 'missing', '../bin/docker-credential-keep'])
      it(`that is ${name} ends it with a clear error: no other secret, none of its output (CVE-2021-41092, case 24)`, async () => {
        await write(docker(), {
          credHelpers: { 'reg.example': name },
          credsStore: 'keep',
          auths: { 'reg.example': auth('file:1'), 'https://index.docker.io/v1/': auth('hub:1') },
        });
        const patient = store({}, undefined, name === 'hanging' ? 300 : 30_000);
        const error = await rejection(find('reg.example', undefined, patient));
        expect(error).to.be.instanceOf(AuthenticationError);
        expect(error.message).to.include(`docker-credential-${name}`);
        expect(JSON.stringify({ ...error, message: error.message, hint: error.hint })).to.not.include('leaked-secret');
        // What a helper prints that says it stored is not looked at.
        if (name === 'rubbish' || name === 'numbers') return;
        const saving = await rejection(
          patient.save(parseRegistryKey('reg.example'), { username: 'me', password: 'hidden' }, { signal }),
        );
        expect(saving).to.be.instanceOf(AuthenticationError);
        expect(saving.message).to.not.include('hidden');
        expect(JSON.parse(await readFile(docker(), 'utf8'))).to.have.nested.property('auths.reg\\.example.auth');
      });

    it('are asked again for others when the one who asked for all was cancelled', async () => {
      await write(docker(), { credHelpers: { 'reg.example': 'keep' }, auths: {} });
      const program = join(directory, 'bin/docker-credential-keep');
      const answer = `echo '{"Username":"me","Secret":"second"}'`;
      // The first call waits to be killed.
      await writeFile(program, `#!/bin/sh\nmkdir ${directory}/called 2>/dev/null && exec sleep 30\n${answer}\n`);
      const controller = new AbortController();
      const one = store();
      const first = rejection(one.find('reg.example', { signal: controller.signal }));
      const others = [1, 2].map(() => find('reg.example', undefined, one));
      while ((await stat(join(directory, 'called')).catch(() => undefined)) === undefined) await sleep(5);
      controller.abort(new Error('another blob failed'));
      expect((await first).message).to.equal('another blob failed');
      expect(await Promise.all(others)).to.deep.equal(['me:second', 'me:second']);
    });

    it('are never searched in the working directory', async () => {
      await write(docker(), { credHelpers: { 'reg.example': 'keep' } });
      const before = process.cwd();
      process.chdir(join(directory, 'bin'));
      try {
        for (const PATH of ['', '.', 'bin:']) {
          const error = await rejection(find('reg.example', undefined, store({ PATH })));
          expect(error.message).to.include('docker-credential-keep');
        }
      } finally {
        process.chdir(before);
      }
      expect(await helpers.argv('keep')).to.equal('');
    });

    it('may write a character in two halves', async () => {
      await write(docker(), { credHelpers: { 'reg.example': 'keep' } });
      const halves = `printf '{"Username":"m\\303'; sleep 0.1; printf '\\274","Secret":"s"}'`;
      await writeFile(join(directory, 'bin/docker-credential-keep'), `#!/bin/sh\n${halves}\n`);
      expect(await find('reg.example')).to.equal('mü:s');
    });

    it('are killed when the work is cancelled', async () => {
      await write(docker(), { credsStore: 'hanging' });
      const controller = new AbortController();
      const waiting = rejection(store().find('reg.example', { signal: controller.signal }));
      setTimeout(() => controller.abort(), 50);
      expect((await waiting).name).to.equal('AbortError');
    });
  });

  describe('saving', () => {
    const key = parseRegistryKey('reg.example');
    const login = { username: 'me', password: 'p:w' };

    it('makes the file and its directory for this user alone', async () => {
      const mask = process.umask(0);
      try {
        expect(await store().save(key, login, { signal })).to.deep.equal({ file: docker(), helper: undefined });
      } finally {
        process.umask(mask);
      }
      expect((await stat(docker())).mode & 0o777).to.equal(0o600);
      expect((await stat(dirname(docker()))).mode & 0o777).to.equal(0o700);
      expect(await find('reg.example')).to.equal('me:p:w');
      expect(await readdir(dirname(docker()))).to.deep.equal(['config.json']);
    });

    it('keeps all else as it was, to the digit, and the link that leads to the file', async () => {
      const real = join(directory, 'dotfiles/docker.json');
      const text = `{
        "HttpHeaders": {"X": "a,b}{\\"\\u00e9"}, "big": 123456789012345678901234567890, "float": 1.0, "nothing": null,
        "auths": {"https://reg.example": {"auth": "b2xkOm9sZA==", "email": "x"},"kept.example": {"auth":"azpr", "more": [1.50, {}]}},
        "plugins": {"a": {"b": [true, "]"]}}, "experimental":"enabled" }`;
      await write(real, text);
      await chmod(real, 0o644);
      await mkdir(dirname(docker()));
      await symlink(real, docker());
      await store().save(key, login, { signal });
      const after = await readFile(docker(), 'utf8');
      for (const kept of [
        '"big": 123456789012345678901234567890',
        '"float": 1.0,',
        '"HttpHeaders": {"X": "a,b}{\\"\\u00e9"}',
        '"kept.example": {"auth":"azpr", "more": [1.50, {}]}',
        '"plugins": {"a": {"b": [true, "]"]}}',
      ])
        expect(after).to.include(kept);
      const parsed = JSON.parse(after) as Record<string, unknown>;
      expect(parsed).to.deep.equal({
        ...(JSON.parse(text) as object),
        auths: { 'kept.example': { auth: 'azpr', more: [1.5, {}] }, 'reg.example': auth('me:p:w') },
      });
      expect((await stat(real)).mode & 0o777).to.equal(0o600);
      await store().remove(key, { signal });
      expect(JSON.parse(await readFile(real, 'utf8'))).to.deep.equal({
        ...(JSON.parse(text) as object),
        auths: { 'kept.example': { auth: 'azpr', more: [1.5, {}] } },
      });
    });

    it('at the same time loses nothing', async () => {
      const hosts = Array.from({ length: 8 }, (_, index) => `h${index}.example`);
      await Promise.all(hosts.map((host) => store().save(parseRegistryKey(host), login, { signal })));
      for (const host of hosts) expect(await find(host)).to.equal('me:p:w');
    });

    it('leaves a file alone that it cannot read', async () => {
      await write(docker(), '{"auths": ');
      expect(await rejection(store().save(key, login, { signal }))).to.be.instanceOf(AuthenticationError);
      expect(await readFile(docker(), 'utf8')).to.equal('{"auths": ');
    });

    it('forgets in every file, that key alone', async () => {
      await write(docker(), { auths: { 'reg.example': auth('a:b'), 'reg.example/team': auth('c:d') } });
      await write(join(directory, 'run/containers/auth.json'), { auths: { 'reg.example': auth('e:f') } });
      expect(await store().remove(key, { signal })).to.have.length(2);
      expect(await find('reg.example')).to.equal(undefined);
      expect(await find('reg.example', 'team/x')).to.equal('c:d');
    });
  });
});
