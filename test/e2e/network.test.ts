import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startDockerRegistry, type DockerRegistry } from '../helpers/docker-registry.js';
import { IMGTOOL } from '../helpers/imgtool.js';
import { skopeoCopy } from '../helpers/skopeo.js';
import { SMALL_IMAGE_TAG, writeSmallImage } from '../helpers/small-image.js';
import { makeAuthority, type TestAuthority } from '../helpers/test-authority.js';
import { startTinyproxy, type Tinyproxy } from '../helpers/tinyproxy.js';

/** Reaches this machine, but is no loopback name: https is asked for, and proxies are used. */
const NOT_LOOPBACK = '0.0.0.0';

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('imgtool on a private network', () => {
  let directory: string;
  let authority: TestAuthority;
  let secure: DockerRegistry;
  let plain: DockerRegistry;
  let proxy: Tinyproxy;
  let digest: string;
  const elsewhere = ({ host }: DockerRegistry): string => host.replace('127.0.0.1', NOT_LOOPBACK);

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'imgtool-network-'));
    authority = await makeAuthority();
    const pair = await authority.issue(`IP:127.0.0.1,IP:${NOT_LOOPBACK}`);
    const tls = { certificate: join(directory, 'registry.crt'), key: join(directory, 'registry.key') };
    writeFileSync(tls.certificate, pair.cert);
    writeFileSync(tls.key, pair.key);
    [secure, plain, proxy] = await Promise.all([
      startDockerRegistry({ http: { tls } }),
      startDockerRegistry(),
      startTinyproxy('alice secret'),
    ]);
    digest = await writeSmallImage(join(directory, 'layout'));
    for (const { host } of [secure, plain])
      await skopeoCopy(`oci:${directory}/layout:${SMALL_IMAGE_TAG}`, `docker://${host}/small:1`);
  });
  after(async () => {
    await Promise.all([secure.stop(), plain.stop(), proxy.stop()]);
    authority.close();
    rmSync(directory, { recursive: true });
  });

  const home = (): string => join(directory, 'home');
  function trust(host: string): void {
    const certificates = join(home(), '.config/containers/certs.d', host);
    mkdirSync(certificates, { recursive: true });
    writeFileSync(join(certificates, 'ca.crt'), authority.ca);
  }
  function run(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(
        IMGTOOL,
        ['--retry', '0', ...args],
        { env: { PATH: process.env.PATH, HOME: home(), ...env } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout: stdout.trim(), stderr }),
      );
    });
  }

  it('trusts the authorities in the directories of SSL_CERT_DIR, whatever else lies there', async () => {
    const certificates = join(directory, 'authorities');
    mkdirSync(join(certificates, 'directory'), { recursive: true });
    writeFileSync(join(certificates, 'private.pem'), authority.ca);
    writeFileSync(join(certificates, '0a1b2c3d.0'), `# the same once more\n${authority.ca}`);
    writeFileSync(join(certificates, 'broken.pem'), authority.ca.replace(/[A-Za-z]{40}/, ''));
    writeFileSync(join(certificates, 'README'), 'none');
    const env = { SSL_CERT_DIR: `/nonexistent:${certificates}` };
    const asked = await run(['digest', `${elsewhere(secure)}/small:1`], env);
    expect(asked).to.deep.equal({ code: 0, stdout: digest, stderr: '' });
  });

  it('trusts the authority of a host by its directory in certs.d', async () => {
    const image = `${elsewhere(secure)}/small:1`;
    const distrusted = await run(['digest', image]);
    expect(distrusted.code).to.equal(5);
    expect(distrusted.stderr).to.match(/cannot be trusted: its certificate is signed by an unknown authority\nhint: /);
    trust(elsewhere(secure));
    expect(await run(['digest', image])).to.deep.equal({ code: 0, stdout: digest, stderr: '' });
  });

  it('never falls back from https to plain http unasked, and says so when asked', async () => {
    const image = `${elsewhere(plain)}/small:1`;
    const refused = await run(['digest', image]);
    expect(refused.code).to.equal(5);
    expect(refused.stderr).to.match(/seems to use plain HTTP\nhint: .*--tls-verify=false/);
    const asked = await run(['digest', image, '--tls-verify=false']);
    expect([asked.code, asked.stdout]).to.deep.equal([0, digest]);
    expect(asked.stderr).to.match(
      /^imgtool: warning: the connection to 0\.0\.0\.0:\d+ uses plain HTTP, which is not encrypted\n$/,
    );
  });

  it('goes through the proxy of the environment, whose password is never shown', async () => {
    trust(elsewhere(secure));
    const image = `${elsewhere(secure)}/small:1`;
    const env = { HTTPS_PROXY: `http://alice:secret@${proxy.host}` };
    const before = proxy.requests().length;
    const through = await run(['digest', image, '--log-level', 'debug'], env);
    expect([through.code, through.stdout]).to.deep.equal([0, digest]);
    expect(through.stderr)
      .to.match(/HEAD https:\/\/0\.0\.0\.0/)
      .and.not.match(/secret|YWxpY2U6c2VjcmV0/);
    expect(proxy.requests().slice(before)).to.deep.equal([`CONNECT ${elsewhere(secure)} HTTP/1.1`]);

    const around = await run(['digest', image], { ...env, NO_PROXY: NOT_LOOPBACK });
    expect([around.code, proxy.requests().length]).to.deep.equal([0, before + 1]);

    const wrong = await run(['digest', image], { HTTPS_PROXY: `http://alice:wrong@${proxy.host}` });
    expect(wrong.code).to.equal(5);
    expect(wrong.stderr)
      .to.match(/the proxy 127\.0\.0\.1:\d+ requires a user name and password/)
      .and.not.match(/wrong/);
  });

  it('reads through a mirror of registries.conf, and without it when it is down', async () => {
    const config = { proxy: { remoteurl: plain.url } };
    const mirror = await startDockerRegistry({ config });
    const conf = join(directory, 'registries.conf');
    writeFileSync(conf, `[[registry]]\nlocation="${plain.host}"\n[[registry.mirror]]\nlocation="${mirror.host}"\n`);
    const env = { CONTAINERS_REGISTRIES_CONF: conf };
    const image = `${plain.host}/small:1`;
    const ours = async (registry: DockerRegistry): Promise<number> =>
      (await registry.requests()).filter(({ userAgent }) => userAgent.startsWith('imgtool')).length;
    try {
      await plain.forget();
      expect(await run(['digest', image], env)).to.deep.equal({ code: 0, stdout: digest, stderr: '' });
      // The tag, and whether there is what its header says.
      expect([await ours(mirror), await ours(plain)]).to.deep.equal([2, 0]);
    } finally {
      await mirror.stop();
    }
    const around = await run(['digest', image], env);
    expect([around.code, around.stdout, await ours(plain)]).to.deep.equal([0, digest, 2]);
    expect(around.stderr).to.match(
      /^imgtool: warning: mirror 127\.0\.0\.1:\d+: .* refused the connection; trying the next source/,
    );
  });
});
