import { expect } from 'chai';
import { BadCommandLineError, parseArguments } from '../../lib/cli/index.js';

/** Words and options that a command line of `run` is understood as. */
async function parse(...argv: string[]): Promise<{
  readonly args: readonly string[];
  readonly flags: Record<string, readonly string[]>;
}> {
  const invocation = await parseArguments(argv, 80);
  if (invocation.kind !== 'command') throw new Error('help was asked for');
  return { args: invocation.args, flags: Object.fromEntries(invocation.flags) };
}

describe('options of run', () => {
  for (const [argv, args, flags = {}] of [
    ['run box ls -la', 'box ls -la'],
    ['run box -- ls -la', 'box ls -la'],
    ['run box ls -- -la', 'box ls -- -la'],
    ['run -- box ls -la', 'box ls -la'],
    ['run box --rm', 'box --rm'],
    ['run box --network none -e A=1 -- ls -la', 'box ls -la', { network: ['none'], env: ['A=1'] }],
    ['run box --rm ls -- -la', 'box --rm ls -- -la'],
    ['run box --unknown -- ls', 'box --unknown -- ls'],
    ['run box sh --json --help', 'box sh --json --help'],
    ['run --rm -e A=1 -u app box env -u A', 'box env -u A', { rm: ['true'], env: ['A=1'], user: ['app'] }],
    ['run -it box sh -i', 'box sh -i', { interactive: ['true'], tty: ['true'] }],
    ['run -iv /a:/b --network none box ls', 'box ls', { interactive: ['true'], volume: ['/a:/b'], network: ['none'] }],
    ['run -eA=b --rm=false box', 'box', { env: ['A=b'], rm: ['false'] }],
    ['--root /x run --tls-verify false box ls', 'box ls', { root: ['/x'], 'tls-verify': ['false'] }],
    ['run --pull never -d=x', '', 'there is no option -d'],
    ['ps -aq', '', { all: ['true'], quiet: ['true'] }],
    ['ps -aqfname=x --no-trunc', '', { all: ['true'], quiet: ['true'], filter: ['name=x'], 'no-trunc': ['true'] }],
    ['images -qf name=x --no-trunc=false', '', { quiet: ['true'], filter: ['name=x'], 'no-trunc': ['false'] }],
    ['history --no-trunc box', 'box', { 'no-trunc': ['true'] }],
    ['run -d box', '', 'there is no option -d'],
    ['run -itd box', '', 'there is no option -d'],
    ['run --rm --detach box', '', 'there is no option --detach'],
    ['run -p 80:80 box', '', 'there is no option -p'],
    ['run --publish=80 box', '', 'there is no option --publish'],
    ['run -v -p:/x box', 'box', { volume: ['-p:/x'] }],
    ['run box -p 80', 'box -p 80'],
  ] as [string, string, (Record<string, string[]> | string)?][])
    it(`${argv}: ${typeof flags === 'string' ? 'refused with a hint' : args}`, async () => {
      const words = argv.split(' ');
      if (typeof flags !== 'string')
        return void expect(await parse(...words)).to.deep.equal({ args: args === '' ? [] : args.split(' '), flags });
      const error: unknown = await parse(...words).catch((thrown: unknown) => thrown);
      expect(error)
        .to.be.instanceOf(BadCommandLineError)
        .with.property('hint')
        .that.matches(/foreground|network/);
      expect(error).to.have.property('message', flags);
    });
});
