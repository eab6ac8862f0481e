import { run } from './run.js';

/** Copies an image with skopeo, plain http allowed and no policy file needed. `flags`: e.g. `--format=v2s2`, `--all`. */
export async function skopeoCopy(source: string, destination: string, ...flags: string[]): Promise<void> {
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await run('skopeo', ['--insecure-policy', 'copy', '--quiet', ...insecure, ...flags, source, destination]);
}
