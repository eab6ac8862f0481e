import { expect } from 'chai';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError } from '../../lib/errors.js';
import { runProcess } from '../../lib/util/index.js';
import { rejection } from '../helpers/rejection.js';

describe('util/run-process', () => {
  it('passes arguments as they are and resolves with stdout', async () => {
    expect(await runProcess(['printf', '%s|', 'a b', '$HOME', '`id`'])).to.equal('a b|$HOME|`id`|');
  });

  it('takes no program from the PATH of its caller (CVE-2019-14271)', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imgtool-path-'));
    const before = process.env['PATH'];
    try {
      writeFileSync(join(directory, 'true'), '#!/bin/sh\necho evil\n');
      chmodSync(join(directory, 'true'), 0o755);
      process.env['PATH'] = `${directory}:${before}`;
      expect(await runProcess(['true'])).to.equal('');
    } finally {
      process.env['PATH'] = before;
      rmSync(directory, { recursive: true });
    }
  });

  it('tells how a program failed', async () => {
    const failed = (await rejection(runProcess(['sh', '-c', 'echo first >&2; echo why >&2; exit 3']))) as CommandError;
    expect(failed).to.be.instanceOf(CommandError);
    expect(failed.message).to.equal('sh failed: why');
    expect([failed.exitCode, failed.stderr]).to.deep.equal([3, 'first\nwhy\n']);
    const missing = (await rejection(runProcess(['no-such-program'], { hint: 'install it' }))) as CommandError;
    expect(missing).to.be.instanceOf(CommandError);
    expect([missing.exitCode, missing.hint]).to.deep.equal([undefined, 'install it']);
    expect((await rejection(runProcess(['sh', '-c', 'kill -9 $$']))).message).to.contain('SIGKILL');
  });

  it('kills the program when aborted', async () => {
    const abort = new AbortController();
    const begun = Date.now();
    setTimeout(() => abort.abort(), 50);
    const error = await rejection(runProcess(['sleep', '30'], { signal: abort.signal }));
    expect(error.name).to.equal('AbortError');
    expect(Date.now() - begun).to.be.lessThan(29_000);
  });
});
