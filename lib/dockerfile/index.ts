/**
 * The Dockerfile language: parsing, expansion, stages, .dockerignore, globs, lint rules and `--change`. Pure: no I/O,
 * no state; operations does the building. May import `errors`, `spec` and pure helpers of `util`.
 */
export * from './instructions.js';
export { applyInstruction, CONFIG_INSTRUCTIONS, isConfigInstruction } from './apply-instruction.js';
export { applyConfigChanges } from './config-change.js';
export { expandInstruction } from './expand-instruction.js';
export { parseMode, type ModeChange } from './file-mode.js';
export { isGlob, matchGlob } from './glob.js';
export { healthConfig } from './health-config.js';
export { heredocText } from './heredoc.js';
export { HISTORY_COMMENT, historyText, type HistoryContext } from './history-text.js';
export { IgnorePatterns } from './ignore-patterns.js';
export { expand, type Environment, type Expansion, type LexerOptions } from './lexer.js';
export { lint, type KnownBase, type LintOptions } from './lint.js';
export { LINT_RULES, lintError, type LintRule, type LintWarning } from './lint-report.js';
export { mountsOf, type RunMount } from './mounts.js';
export { parseDockerfile, parseTrigger } from './parse.js';
export { inInstruction, instructionError, SyntaxProblem } from './problem.js';
export { commandWords, DEFAULT_SHELL, runScript, type RunScript } from './run-script.js';
export { StageGraph, type ResolvedStage, type StageGraphOptions, type StageSource } from './stages.js';
export { StageScope, type ArgValue, type StageScopeOptions } from './stage-scope.js';
export { globalVariables, unusedArgs, type BuildInputs } from './variables.js';
export { resolveWorkdir } from './workdir.js';
