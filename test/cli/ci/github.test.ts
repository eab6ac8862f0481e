import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { gitHubError, reportError, tellGitHub } from '../../../lib/cli/index.js';
import { DockerfileError, NotFoundError } from '../../../lib/errors.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

describe('--output-format github', () => {
  let directory: string;
  let env: Record<string, string>;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'imgtool-github-'));
    env = { GITHUB_OUTPUT: join(directory, 'output'), GITHUB_STEP_SUMMARY: join(directory, 'summary') };
    for (const path of Object.values(env)) await writeFile(path, 'before=1\n');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function told(command: string, made: Parameters<typeof tellGitHub>[1]): Promise<[string, string]> {
    tellGitHub(command, made, env);
    return [await readFile(env.GITHUB_OUTPUT!, 'utf8'), await readFile(env.GITHUB_STEP_SUMMARY!, 'utf8')];
  }

  it('appends outputs and a table', async () => {
    const made = ['r.example/app:1', 'r.example/app:2'].map((image) => ({
      image,
      digest: DIGEST,
      did: 'copied',
      bytes: 1500,
    }));
    const [output, summary] = await told('copy', made);
    expect(output).to.equal(`before=1\nimage=r.example/app:1\ndigest=${DIGEST}\n`);
    expect(summary).to.equal(
      'before=1\n\n| image | copy | digest | transferred |\n| --- | --- | --- | ---: |\n' +
        `| \`r.example/app:1\` | copied | \`${DIGEST}\` | 1.5kB |\n| \`r.example/app:2\` | copied | \`${DIGEST}\` | 1.5kB |\n`,
    );
  });

  it('sets no output where there is not one digest, and nothing in a name begins another', async () => {
    const [output, summary] = await told('sync', [
      { image: 'a:1', digest: DIGEST, did: 'copied' },
      { image: 'x|`\nevil=1', did: 'failed' },
    ]);
    expect(output).to.equal('before=1\n');
    expect(summary.split('\n').at(-2)).to.equal('| `x evil=1` | failed |  |  |');
    expect((await told('pull', [{ image: 'a\nevil=1', digest: DIGEST, did: 'pulled' }]))[0]).to.not.match(/^evil/m);
  });

  it('needs no files', () => tellGitHub('pull', [{ image: 'a', digest: DIGEST, did: 'pulled' }], {}));

  it('annotates errors, at the line of a file where they have one', () => {
    const found = gitHubError(
      reportError(new NotFoundError('no, 100% gone:\nx', { kind: 'image', subject: 'a', hint: 'pull it' }), 'rmi a,b'),
    );
    expect(found).to.equal('::error title=imgtool rmi a%2Cb::no, 100%25 gone:%0Ahint: pull it');
    const error = new DockerfileError('unknown instruction FORM', {
      file: 'dir/Dockerfile',
      line: 3,
      column: 1,
      text: 'FORM x',
    });
    expect(gitHubError(reportError(error, 'build .'))).to.match(
      /^::error file=dir\/Dockerfile,line=3,col=1,title=imgtool build \.::[^\n]*unknown instruction FORM$/,
    );
  });
});
