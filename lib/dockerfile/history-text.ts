import { goDuration, plainList, quotedList } from './go-format.js';
import { healthTest } from './health-config.js';
import type { CopyBase, HealthcheckInstruction, KeyValue, StageInstruction } from './instructions.js';
import { commandWords, DEFAULT_SHELL, runScript } from './run-script.js';
import type { ArgValue } from './stage-scope.js';

/** State for the history text of a step. */
export interface HistoryContext {
  /** From SHELL or the base. */
  readonly shell?: readonly string[] | undefined;
  /** The ARGs in scope: `StageScope.args`. For RUN only. */
  readonly args?: readonly ArgValue[] | undefined;
  /** The absolute directory after WORKDIR. */
  readonly workdir?: string | undefined;
}

/** BuildKit's `comment` in each entry. */
export const HISTORY_COMMENT = 'buildkit.dockerfile.v0';

/**
 * BuildKit's `created_by` for an expanded instruction (for an ARG, the result of `StageScope.declare`). Undefined for
 * ONBUILD, which adds no entry.
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

/** Formats a struct like Go's `%+v`. */
function healthText(health: HealthcheckInstruction): string {
  const { interval = 0, timeout = 0, startPeriod = 0, startInterval = 0, retries = 0 } = health;
  return (
    `{Test:${plainList(healthTest(health.command))} Interval:${goDuration(interval)} Timeout:${goDuration(timeout)} ` +
    `StartPeriod:${goDuration(startPeriod)} StartInterval:${goDuration(startInterval)} Retries:${retries}}`
  );
}
