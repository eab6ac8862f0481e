/** The registries that the recipes of docs/ci move images between, filled. */
import { join } from 'node:path';
import { putArtifact, putImage } from './artifacts.js';
import { startDockerRegistry, type DockerRegistry } from './docker-registry.js';
import { IMGTOOL, startServe, type Served } from './imgtool.js';
import { startLoginProxy } from './login-proxy.js';
import { writeOciLayout, type LayerTable } from './oci-layout.js';
import { run } from './run.js';
import { skopeoCopy } from './skopeo.js';
import { writeSmallImage } from './small-image.js';

/** User and password of a registry. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** The commit that staging has an image of: its tag. */
export const COMMIT = '3f6e0c1d9b';
export const STAGING_LOGIN: Login = { user: 'ci', password: 'staging secret' };
export const PRODUCTION_LOGIN: Login = { user: 'deploy', password: 'production $ecret' };

/** A registry with a login before it. */
export interface GuardedRegistry {
  /** `host:port` that wants the login. */
  readonly host: string;
  readonly login: Login;
  /** The registry behind it, for the test. */
  readonly open: Served;
  stop(): Promise<void>;
}

/** All of them, on free loopback ports. */
export interface CiRegistries {
  /** Has `team/app:COMMIT`, an index of two platforms with one artifact that refers to it, and `base/small:1`. */
  readonly staging: GuardedRegistry;
  /** Empty. */
  readonly production: GuardedRegistry;
  /** Has `base/alpine` with seven versions, and `1` of `base/busybox`, `base/debian` and `base/other`. */
  readonly upstream: Served;
  /** Has `team/app:1`, pushed over protocol v1. */
  readonly old: Served;
  /** Has `team/app:1` and `2` as schema 1. */
  readonly schema1: DockerRegistry;
  /** Digest of the index at staging. */
  readonly built: string;
  stop(): Promise<void>;
}

/** Starts and fills the registries; their files are below `directory`. */
export async function startCiRegistries(directory: string): Promise<CiRegistries> {
  const layout = join(directory, 'layout');
  const [staging, production, upstream, old, schema1] = await Promise.all([
    startGuarded(join(directory, 'staging'), STAGING_LOGIN),
    startGuarded(join(directory, 'production'), PRODUCTION_LOGIN),
    startServe(join(directory, 'upstream')),
    startServe(join(directory, 'old')),
    startDockerRegistry({ config: { compatibility: { schema1: { enabled: true } } } }),
    writeSmallImage(layout),
  ]);
  const built = await fillStaging(staging.open, directory, layout);
  await fillUpstream(`http://${upstream.host}`);
  await run(IMGTOOL, ['-q', 'copy', `oci:${layout}:1`, `docker-v1://${old.host}/team/app:1`]);
  // From schema 2: skopeo makes no schema 1 of OCI images.
  const modern = `docker://${schema1.host}/made/app:1`;
  await skopeoCopy(`oci:${layout}:1`, modern, '--format=v2s2');
  for (const tag of ['1', '2']) await skopeoCopy(modern, `docker://${schema1.host}/team/app:${tag}`, '--format=v2s1');
  const all = [staging, production, upstream, old, schema1];
  return {
    ...{ staging, production, upstream, old, schema1, built },
    stop: async () => void (await Promise.all(all.map((registry) => registry.stop()))),
  };
}

async function startGuarded(directory: string, login: Login): Promise<GuardedRegistry> {
  const open = await startServe(directory);
  const proxy = await startLoginProxy(open.host, `${login.user}:${login.password}`);
  return {
    ...{ host: proxy.host, login, open },
    stop: async () => {
      await proxy.close();
      await open.stop();
    },
  };
}

async function fillStaging({ host }: Served, directory: string, smallImage: string): Promise<string> {
  const platforms = join(directory, 'platforms');
  const digests = await writeOciLayout(
    platforms,
    ['amd64', 'arm64'].map((architecture) => {
      const layer: LayerTable = { entries: [{ path: 'file', content: architecture }] };
      return { tag: COMMIT, platform: { os: 'linux', architecture }, layers: [layer] };
    }),
  );
  const digest = digests.get(COMMIT)!;
  await skopeoCopy(`oci:${platforms}:${COMMIT}`, `docker://${host}/team/app:${COMMIT}`, '--all');
  const subject = { mediaType: 'application/vnd.oci.image.index.v1+json', digest, size: 0 };
  await putArtifact(`http://${host}`, 'team/app', { content: 'signature', subject });
  await skopeoCopy(`oci:${smallImage}:1`, `docker://${host}/base/small:1`);
  return digest;
}

async function fillUpstream(url: string): Promise<void> {
  for (const tag of ['3.16.0', '3.18.1', '3.18.2', '3.19.0', '3.19.1', '3.20.0', '3.20.1'])
    await putImage(url, 'base/alpine', tag, { layers: [tag] });
  for (const name of ['busybox', 'debian', 'other']) await putImage(url, `base/${name}`, '1', { layers: [name] });
}
