import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable, type Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { createContentStore, type Leftover } from '../../lib/content/index.js';
import { DigestMismatchError, DiskSpaceError } from '../../lib/errors.js';
import { digestOf, type Descriptor } from '../../lib/spec/index.js';
import { btrfsDirectory } from '../helpers/btrfs.js';
import { stopChild } from '../helpers/docker-registry.js';
import { rejection } from '../helpers/rejection.js';
import { run } from '../helpers/run.js';
import { begin, describeContentStore, descriptorOf } from '../suites/content-store.js';

const never = new AbortController().signal;
const PROGRAM = fileURLToPath(new URL('../helpers/ingest-process.js', import.meta.url));

describe('content store', () => {
  let root: string;
  before(() => {
    root = btrfsDirectory('content');
  });

  describe('on btrfs', () => {
    describeContentStore(() => createContentStore({ root }));

    after('leaves no temporary file', async () => {
      for (const name of await readdir(join(root, 'ingest'))) expect.fail(`left behind: ingest/${name}`);
    });
  });

  describe('blobs on disk', () => {
    let store: ReturnType<typeof createContentStore>;
    const bytes = randomBytes(900_000);
    const descriptor = descriptorOf(bytes);
    beforeEach(async () => {
      store = createContentStore({ root: await mkdtemp(join(root, 'disk-')) });
      await store.put(bytes);
    });

    async function download(wanted: Descriptor, content: Uint8Array): Promise<void> {
      const ingest = await begin(store, wanted);
      await ingest.write(content);
      await ingest.commit();
    }

    it('are for their owner alone, whatever the umask', async () => {
      expect((await stat(store.path(descriptor.digest))).mode & 0o777).to.equal(0o600);
    });

    it('that a crash has cut are not there, and are fetched anew', async () => {
      await truncate(store.path(descriptor.digest), 4096);
      expect(await store.stat(descriptor.digest)).to.equal(undefined);
      for await (const { digest } of store.list()) expect.fail(`listed ${digest}`);
      await download(descriptor, bytes);
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
      await truncate(store.path(descriptor.digest), 0);
      await store.put(bytes);
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
    });

    it('with other bytes than their name says give an error to every reader, at the latest at their end', async () => {
      const damaged = Buffer.from(bytes);
      damaged[800_000]! ^= 1;
      await writeFile(store.path(descriptor.digest), damaged);
      const error = await rejection(store.read(descriptor.digest));
      expect(error).to.be.instanceOf(DigestMismatchError);
      expect(error.hint).to.include('pull');
      expect(await rejection(buffer(await store.open(descriptor.digest)))).to.be.instanceOf(DigestMismatchError);
    });

    it('with other bytes than their name says are replaced by put', async () => {
      await writeFile(store.path(descriptor.digest), Buffer.alloc(bytes.length));
      await store.put(bytes);
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
    });

    it('that are too long for their descriptor and damaged are fetched anew', async () => {
      await writeFile(store.path(descriptor.digest), Buffer.concat([bytes, Buffer.from('tail')]));
      await download(descriptor, bytes);
      expect((await store.read(descriptor.digest)).equals(bytes)).to.equal(true);
    });

    it('are listed alone: other names in their directories are passed over', async () => {
      await writeFile(join(store.path(descriptor.digest), '../README'), 'x');
      await mkdir(join(store.path(descriptor.digest), `../${'a'.repeat(64)}`));
      const found: string[] = [];
      for await (const { digest } of store.list()) found.push(digest);
      expect(found).to.deep.equal([descriptor.digest]);
    });

    it('close their file when a reader goes away early', async () => {
      const before = (await readdir('/proc/self/fd')).length;
      for (let i = 0; i < 20; i++) {
        const stream = await store.open(descriptor.digest);
        if (i % 2 === 0) await once(stream, 'readable');
        stream.destroy();
        await once(stream, 'close');
      }
      // Closing takes a moment; with a leak this never ends.
      while ((await readdir('/proc/self/fd')).length > before + 1) await sleep(20);
    });
  });

  describe('another process', () => {
    const bytes = randomBytes(5 * 2 ** 20);
    const { digest } = descriptorOf(bytes);
    let directory: string;
    let file: string;
    let children: ChildProcessByStdio<Writable, Readable, null>[] = [];
    beforeEach(async () => {
      directory = await mkdtemp(join(root, 'process-'));
      file = join(directory, 'bytes');
      await writeFile(file, bytes);
    });
    afterEach(async () => {
      for (const child of children) await stopChild(child);
      children = [];
    });

    async function start(count: number): Promise<{ kill: () => void; lines: Interface; commit: () => Promise<void> }> {
      const child = spawn(process.execPath, [PROGRAM, directory, file, String(count)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      children.push(child);
      await once(child, 'spawn');
      return {
        kill: () => child.kill('SIGKILL'),
        lines: createInterface({ input: child.stdout }),
        commit: async () => {
          child.stdin.write('go\n');
          await once(child, 'exit');
        },
      };
    }
    const nextLine = async (lines: Interface): Promise<string> => ((await once(lines, 'line')) as [string])[0];

    it('killed while it downloads leaves what can be resumed, hashed again', async () => {
      const writer = await start(3 * 2 ** 20);
      for await (const line of writer.lines) if (line === 'written') break;
      const store = createContentStore({ root: directory });
      const leftovers = async (): Promise<Leftover[]> => {
        const found: Leftover[] = [];
        for await (const leftover of store.leftovers()) found.push(leftover);
        return found;
      };
      expect(await leftovers()).to.have.length(1);
      expect((await leftovers())[0]).to.include({ digest, active: true });
      writer.kill();
      if (children[0]!.signalCode === null) await once(children[0]!, 'exit');
      const [left] = await leftovers();
      expect(left).to.include({ digest, active: false });
      expect(left!.size).to.be.within(2 * 2 ** 20, 3 * 2 ** 20);
      expect(Date.now() - left!.modifiedMs).to.be.within(-2000, 60_000);

      const ingest = await begin(store, descriptorOf(bytes));
      expect(ingest.offset).to.equal(left!.size);
      await ingest.write(bytes.subarray(ingest.offset));
      await ingest.commit();
      expect((await store.read(digest)).equals(bytes)).to.equal(true);
      expect(await leftovers()).to.deep.equal([]);
      expect(await readdir(join(directory, 'ingest'))).to.deep.equal([]);
    });

    it('waits for this one and shares its blob', async () => {
      const store = createContentStore({ root: directory });
      const ingest = await begin(store, descriptorOf(bytes));
      const { lines } = await start(0);
      const said = nextLine(lines);
      await ingest.write(bytes);
      await ingest.commit();
      expect(await said).to.equal('present');
    });

    it('is waited for, and its blob shared', async () => {
      const writer = await start(2 ** 20);
      for await (const line of writer.lines) if (line === 'written') break;
      const store = createContentStore({ root: directory });
      let waited = 0;
      const waiting = store.beginIngest(descriptorOf(bytes), { signal: never, onWait: () => waited++ });
      while (waited === 0) await sleep(5);
      await sleep(50);
      expect(waited).to.equal(1);
      await writer.commit();
      expect(await waiting).to.equal(undefined);
      expect(await store.stat(digest)).to.deep.equal({ size: bytes.length });
    });
  });

  describe('leftovers', () => {
    it('sweeps what a process left that died between publishing a blob and tidying up', async () => {
      const directory = await mkdtemp(join(root, 'swept-'));
      const store = createContentStore({ root: directory });
      const digest = await store.put(Buffer.from('published'));
      const left = join(directory, 'ingest', digest.replace(':', '-'));
      await mkdir(left, { recursive: true });
      await writeFile(join(left, 'state.json'), '{}');
      await store.sweep();
      expect(await readdir(join(directory, 'ingest'))).to.deep.equal([]);
      expect((await store.read(digest)).toString()).to.equal('published');
    });

    it('are told by what they are: resumable downloads and temporary files', async () => {
      const directory = await mkdtemp(join(root, 'left-'));
      const store = createContentStore({ root: directory });
      const found: Leftover[] = [];
      for await (const leftover of store.leftovers()) found.push(leftover);
      expect(found).to.deep.equal([]);

      const { digest } = descriptorOf(Buffer.from('x'));
      const download = join(directory, 'ingest', digest.replace(':', '-'));
      const temporary = join(directory, 'ingest', 'tmp-0123');
      await mkdir(download, { recursive: true });
      await writeFile(join(download, 'data'), '');
      await writeFile(temporary, 'abc');
      const old = new Date(Date.UTC(2020, 1, 2));
      await utimes(temporary, old, old);
      await utimes(join(download, 'data'), old, old);
      for await (const leftover of store.leftovers()) found.push(leftover);
      const modifiedMs = old.getTime();
      expect(found).to.deep.equal([
        { path: download, digest, isPart: false, size: 0, modifiedMs, active: false },
        { path: temporary, digest: undefined, isPart: false, size: 3, modifiedMs, active: false },
      ]);
    });

    it('a download by key: goes on, gives way to the one who has it, leads to its blob, is forgotten', async () => {
      const directory = await mkdtemp(join(root, 'part-'));
      const store = createContentStore({ root: directory });
      const { signal } = new AbortController();
      const first = await store.beginPart('a key', { signal });
      await first.write(Buffer.from('one'));
      const other = await store.beginPart('a key', { signal });
      expect(other.offset).to.equal(0);
      await other.write(Buffer.from('lost'));
      await other.release();
      await first.release();

      const again = await store.beginPart('a key', { signal });
      expect(again.offset).to.equal(3);
      await again.write(Buffer.from('two'));
      const blob = await again.commit({ proofs: ['p'] });
      expect((await store.read(blob.digest)).toString()).to.equal('onetwo');
      expect(await store.finishedPart('a key')).to.deep.equal({ ...blob, proofs: ['p'] });
      await store.sweep();
      expect(await readdir(join(directory, 'ingest'))).to.have.length(1);
      await store.forgetPart('a key');
      expect(await store.finishedPart('a key')).to.equal(undefined);
      expect(await readdir(join(directory, 'ingest'))).to.deep.equal([]);
      expect(await store.stat(blob.digest)).to.deep.equal({ size: 6 });
    });

    it('longer than the blob can be are no beginning of it', async () => {
      const directory = await mkdtemp(join(root, 'long-'));
      const store = createContentStore({ root: directory });
      const bytes = randomBytes(1000);
      const { digest } = descriptorOf(bytes);
      const download = join(directory, 'ingest', digest.replace(':', '-'));
      await mkdir(download, { recursive: true });
      await writeFile(join(download, 'data'), Buffer.concat([bytes, bytes]));
      const ingest = await begin(store, descriptorOf(bytes));
      expect(ingest.offset).to.equal(0);
      await ingest.write(bytes);
      await ingest.commit();
      expect(await readFile(store.path(digest))).to.deep.equal(bytes);
    });
  });

  describe('on a full file system', () => {
    let directory: string;
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'imgtool-full-'));
      await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory]);
    });
    after(async () => {
      await run('umount', [directory]);
      await rm(directory, { recursive: true });
    });

    it('a download says so, keeps what it has, and goes on when there is room', async () => {
      const store = createContentStore({ root: directory });
      const bytes = randomBytes(3 * 2 ** 20);
      const ingest = await begin(store, descriptorOf(bytes));
      const error = await rejection(
        (async () => {
          for (let at = 0; at < bytes.length; at += 65536) await ingest.write(bytes.subarray(at, at + 65536));
          await ingest.commit();
        })(),
      );
      expect(error).to.be.instanceOf(DiskSpaceError);
      expect(error.hint).to.include('free some space');
      await ingest.release();
      expect(ingest.growing.failed).to.equal(true);
      expect(existsSync(store.path(digestOf(bytes)))).to.equal(false);

      await run('mount', ['-o', 'remount,size=8m', directory]);
      const again = await begin(store, descriptorOf(bytes));
      expect(again.offset).to.be.within(2 ** 20, 2 * 2 ** 20);
      await again.write(bytes.subarray(again.offset));
      await again.commit();
      expect((await store.read(digestOf(bytes))).equals(bytes)).to.equal(true);
      await run('mount', ['-o', 'remount,size=4m', directory]);
    });

    it('a stream says so and leaves nothing', async () => {
      const store = createContentStore({ root: directory });
      const source = Readable.from([randomBytes(2 ** 20), randomBytes(2 ** 20), randomBytes(2 ** 20)]);
      expect(await rejection(store.ingestStream(source, { signal: never }))).to.be.instanceOf(DiskSpaceError);
      expect(await readdir(join(directory, 'ingest'))).to.deep.equal([]);
    });

    it('that has no room for a name says so too', async () => {
      const small = join(directory, 'small');
      await mkdir(small);
      await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,nr_inodes=2', 'tmpfs', small]);
      try {
        const store = createContentStore({ root: small });
        const error = await rejection(store.beginIngest(descriptorOf(randomBytes(9)), { signal: never }));
        expect(error).to.be.instanceOf(DiskSpaceError);
        expect(await rejection(store.put(randomBytes(9)))).to.be.instanceOf(DiskSpaceError);
      } finally {
        await run('umount', [small]);
      }
    });
  });
});
