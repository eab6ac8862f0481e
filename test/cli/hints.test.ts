import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMANDS } from '../../lib/cli/commands/index.js';

/** What follows the name of the program in a sentence about it. */
const PROSE: ReadonlySet<string> = new Set(['everywhere', 'is', 'saved', 'that']);

describe('hints', () => {
  it('name commands that exist', () => {
    const words = new Set(COMMANDS.flatMap(({ path }) => [path[0], path.join(' ')]));
    const wrong = readdirSync('lib', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) =>
        [...readFileSync(join('lib', name), 'utf8').matchAll(/hint:?[^;]*?imgtool (store )?([a-z]+)\b/g)]
          .map(([, group = '', word]) => `${group}${word}`)
          .filter((command) => !words.has(command) && !PROSE.has(command))
          .map((command) => `${name}: imgtool ${command}`),
      );
    expect(wrong).to.deep.equal([]);
  });
});
