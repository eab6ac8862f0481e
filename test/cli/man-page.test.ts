import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { allCommands, manPages, type CommandSpec } from '../../lib/cli/index.js';
import { run } from '../helpers/run.js';

describe('man pages', () => {
  let directory: string;
  before(async () => void (directory = await mkdtemp(join(tmpdir(), 'imgtool-man-'))));
  after(() => rm(directory, { recursive: true, force: true }));

  async function write(commands: readonly CommandSpec[]): Promise<string[]> {
    const pages = manPages(commands);
    for (const { file, text } of pages) await writeFile(join(directory, file), text);
    return pages.map(({ file }) => join(directory, file));
  }

  /** What a reader sees; throws with what man and groff warn of. */
  async function shown(path: string): Promise<string> {
    const env = { LC_ALL: 'C.UTF-8', MANWIDTH: '120', MAN_KEEP_FORMATTING: '' };
    return run(
      'sh',
      [
        '-c',
        'warned=$(man --warnings -l "$0" 2>&1 >"$0.out") && [ -z "$warned" ] && cat "$0.out" || { echo "$warned" >&2; exit 1; }',
        path,
      ],
      { env },
    );
  }

  it('there is one for the program and one for each command, and groff has nothing to warn of', async () => {
    const commands = await allCommands();
    const paths = await write(commands);
    expect(paths).to.have.length(commands.length + 1);
    // As man --warnings calls it, in one process for all.
    const warned = await run('sh', ['-c', 'groff -mandoc -Tutf8 -ww -z "$@" 2>&1', 'sh', ...paths], {});
    expect(warned).to.equal('');
  });

  it('man shows them without a warning', async () => {
    await write(await allCommands());
    const program = await shown(join(directory, 'imgtool.1'));
    expect(program)
      .to.match(/^IMGTOOL\(1\)/)
      .and.include('imgtool-store-gc(1)')
      .and.include('--root DIR')
      .and.include('141 ');
    const pull = await shown(join(directory, 'imgtool-pull.1'));
    expect(pull)
      .to.match(/imgtool-pull - pull image/)
      .and.match(/-a, --all-tags\n/)
      .and.include('IMGTOOL_PULL_POLICY');
    expect(pull).to.include('imgtool pull localhost:5000/base --platform linux/arm64');
    expect(await shown(join(directory, 'imgtool-containers.1'))).to.include('imgtool ps');
  });

  it('nothing in a text is taken for an instruction to roff', async () => {
    const lines = ['.so /etc/passwd', "'br", '\\fBbold\\n(yr', '-- ~/x ^y `z` "q" \'s\'', '\\'];
    const command: CommandSpec = {
      path: ['odd'],
      aliases: [],
      group: 'Other',
      summary: lines[2]!,
      description: lines.join('\n'),
      arguments: [{ name: 'A\\B', summary: lines[0]! }],
      options: [{ name: 'x', value: "'V", summary: lines[1]! }],
      examples: [{ command: lines.join('\n'), does: lines[4]! }],
      run: () => Promise.resolve(undefined),
    };
    const [, path] = await write([command]);
    const text = await shown(path!);
    expect(text).to.not.include('root:');
    for (const line of lines) expect(text.split(line).length - 1, line).to.be.at.least(2);
  });
});
