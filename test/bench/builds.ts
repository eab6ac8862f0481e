import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchRow, Participant } from './row.js';

/** The builds of imgtool that a benchmark measures: this one and, if given, another one, both by launcher. */
export class Builds {
  /** What rows run: a link to the launcher of the build whose turn it is. */
  readonly path: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'imgtool-bench-builds-'));
  readonly #program: string;
  readonly #other: string | undefined;

  constructor(program: string, other: string | undefined) {
    this.path = join(this.#directory, 'imgtool');
    this.#program = program;
    this.#other = other;
    this.#use(program);
  }

  /** The row with the other build as second participant. */
  row(row: BenchRow): BenchRow {
    const other = this.#other;
    if (other === undefined) return row;
    return {
      ...row,
      participants: async (context) => {
        const [own, ...peers] = await row.participants(context);
        if (own === undefined) return [];
        return [
          this.#turn(own, this.#program),
          this.#turn({ ...own, name: `${own.name}, other build` }, other),
          ...peers,
        ];
      },
    };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }

  #turn(participant: Participant, program: string): Participant {
    return {
      name: participant.name,
      run: async () => {
        this.#use(program);
        try {
          return await participant.run();
        } finally {
          this.#use(this.#program);
        }
      },
    };
  }

  #use(program: string): void {
    const link = join(this.#directory, 'new');
    symlinkSync(program, link);
    renameSync(link, this.path);
  }
}
