#!/usr/bin/env node
// check [COMMAND ARG...]: formatting, types, build and lint, then COMMAND: as soon as all is built, while the linter is
// still at work. Types and lint share one program of the compiler: making it is most of the work of either.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { ESLint } from 'eslint';
import ts from 'typescript';

process.chdir(resolve(import.meta.dirname, '../..'));

const formatted = run('prettier', ['--log-level', 'warn', '--check', '.']);
// The bundle is made of the sources, not of what the compiler writes: beside it.
const bundled = run(process.execPath, ['esbuild.config.js']);
const program = compile();
const built =
  program !== undefined && (await bundled) && (await formatted) && (await run(process.execPath, ['bin/dev/man.mjs']));
const tested = built ? runCommand(process.argv.slice(2)) : true;
const linted = program !== undefined && (await lint(program));
const passed = [built, linted, await tested].every(Boolean);
if (built && !linted) process.stderr.write('check: the linter has found something: see above\n');
process.exitCode = passed ? 0 : 1;

/** Runs a program of node_modules/.bin or an absolute one; resolves with whether it ended well. */
async function run(program, args) {
  const [code] = await once(
    spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env: environment() }),
    'close',
  );
  return code === 0;
}

function runCommand([program, ...args]) {
  return program === undefined || run(program, args);
}

function environment() {
  return { ...process.env, PATH: `${resolve('node_modules/.bin')}:${process.env.PATH}` };
}

/** Does what `tsc -p .` does; the program when there are no errors. */
function compile() {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => report([diagnostic]) };
  const config = ts.getParsedCommandLineOfConfigFile('tsconfig.json', {}, host);
  if (config === undefined) return undefined;
  const { options, fileNames: rootNames, errors } = config;
  const builder = ts.createIncrementalProgram({ rootNames, options, configFileParsingDiagnostics: errors });
  const found = [
    ...builder.getConfigFileParsingDiagnostics(),
    ...builder.getOptionsDiagnostics(),
    ...builder.getSyntacticDiagnostics(),
    ...builder.getGlobalDiagnostics(),
    ...builder.getSemanticDiagnostics(),
  ];
  found.push(...builder.emit().diagnostics);
  report(found);
  return found.length === 0 ? builder.getProgram() : undefined;
}

function report(diagnostics) {
  const host = {
    getCurrentDirectory: () => process.cwd(),
    getCanonicalFileName: (name) => name,
    getNewLine: () => '\n',
  };
  process.stderr.write(ts.formatDiagnostics(diagnostics, host));
}

/** Does what `eslint .` does, with the types of `program`. */
async function lint(program) {
  const parserOptions = { projectService: false, programs: [program] };
  const eslint = new ESLint({ overrideConfig: [{ languageOptions: { parserOptions } }] });
  const results = await eslint.lintFiles(['.']);
  const formatter = await eslint.loadFormatter('stylish');
  process.stdout.write(await formatter.format(results));
  return results.every(({ errorCount }) => errorCount === 0);
}
