import { goDuration, plainList, quotedList } from './go-format.js';
import { healthTest } from './health-config.js';
import type { CopyBase, HealthcheckInstruction, KeyValue, StageInstruction } from './instructions.js';
import { commandWords, DEFAULT_SHELL, runScript } from './run-script.js';
import type { ArgValue } from './stage-scope.js';

/** What the history of a step says besides its instruction. */
export interface HistoryContext {
  /** Of SHELL, or the base's. */
  readonly shell?: readonly string[] | undefined;
  /** The ARGs in scope: `StageScope.args`. RUN only. */
  readonly args?: readonly ArgValue[] | undefined;
  /** The directory that WORKDIR leads to, absolute. */
  readonly workdir?: string | undefined;
}

/** `comment` of each entry that BuildKit writes. */
export const HISTORY_COMMENT = 'buildkit.dockerfile.v0';

/**
 * `created_by` of an expanded instruction (of an ARG: as `StageScope.declare` returns it), as BuildKit writes it. Undefined for
 * ONBUILD, which leaves no entry.
 */
export function historyText(instruction: StageInstruction, context: HistoryContext = {}): string | undefined {
  const { shell = DEFAULT_SHELL, args = [], workdir } = context;
  const { keyword } = instruction;
  switch (keyword) {
    case 'RUN': {
      const values = args.map(([name, value]) => `${name}=${value}`);
      const scope = values.length === 0 ? [] : [`|${values.length}`, ...values];
      return ['RUN', ...scope, ...runScript(instruction, shell).argv, '# buildkit'].join(' ');
    }
    case 'COPY':
      return `${copyText(instruction, instruction.parents)} # buildkit`;
    case 'ADD':
      return `${copyText(instruction, false)} # buildkit`;
    case 'ENV':
    case 'LABEL':
      return [keyword, ...instruction.pairs.map(pairText)].join(' ');
    case 'ARG':
      return [
        'ARG',
        ...instruction.args.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)),
      ].join(' ');
    case 'CMD':
    case 'ENTRYPOINT':
      return `${keyword} ${quotedList(commandWords(instruction.command, shell))}`;
    case 'EXPOSE':
      return `EXPOSE ${plainList(instruction.ports)}`;
    case 'VOLUME':
      return `VOLUME ${plainList(instruction.paths)}`;
    case 'SHELL':
      return `SHELL ${plainList(instruction.shell)}`;
    case 'HEALTHCHECK':
      return `HEALTHCHECK ${healthText(instruction)}`;
    case 'WORKDIR':
      return `WORKDIR ${workdir ?? instruction.path}`;
    case 'USER':
      return `USER ${instruction.user}`;
    case 'STOPSIGNAL':
      return `STOPSIGNAL ${instruction.signal}`;
    case 'MAINTAINER':
      return `MAINTAINER ${instruction.name}`;
    case 'ONBUILD':
      return undefined;
  }
}

function pairText({ key, value }: KeyValue): string {
  return `${key}=${value}`;
}

function copyText(copy: CopyBase & { readonly keyword: string }, parents: boolean): string {
  return [
    copy.keyword,
    ...(parents ? ['--parents'] : []),
    ...(copy.chown === undefined ? [] : [`--chown=${copy.chown}`]),
    ...(copy.chmod === undefined ? [] : [`--chmod=${copy.chmod}`]),
    ...copy.sources,
    ...copy.heredocs.map(({ name }) => `<<${name}`),
    copy.destination,
  ].join(' ');
}

/** A struct as Go's `%+v` prints it. */
function healthText(health: HealthcheckInstruction): string {
  const { interval = 0, timeout = 0, startPeriod = 0, startInterval = 0, retries = 0 } = health;
  return (
    `{Test:${plainList(healthTest(health.command))} Interval:${goDuration(interval)} Timeout:${goDuration(timeout)} ` +
    `StartPeriod:${goDuration(startPeriod)} StartInterval:${goDuration(startInterval)} Retries:${retries}}`
  );
}
