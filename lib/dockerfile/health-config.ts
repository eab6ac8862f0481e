import type { HealthConfig } from '../spec/index.js';
import type { Command, HealthcheckInstruction } from './instructions.js';

/** The `Test` of a health check: `NONE`, `CMD …` or `CMD-SHELL …`. */
export function healthTest(command: Command | 'none'): string[] {
  if (command === 'none') return ['NONE'];
  return command.form === 'exec' ? ['CMD', ...command.words] : ['CMD-SHELL', command.text];
}

/** The config of a health check. */
export function healthConfig(instruction: HealthcheckInstruction): HealthConfig {
  const { command, interval, timeout, startPeriod, startInterval, retries } = instruction;
  return {
    Test: healthTest(command),
    ...(interval === undefined ? {} : { Interval: interval }),
    ...(timeout === undefined ? {} : { Timeout: timeout }),
    ...(startPeriod === undefined ? {} : { StartPeriod: startPeriod }),
    ...(startInterval === undefined ? {} : { StartInterval: startInterval }),
    ...(retries === undefined ? {} : { Retries: retries }),
  };
}
