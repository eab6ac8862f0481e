import { expect } from 'chai';
import { digestOf } from '../../lib/spec/index.js';
import { rejection } from '../helpers/rejection.js';
import { findImage } from '../../lib/operations/store/index.js';

type Deps = Parameters<typeof findImage>[0];

describe('finding an image by an alias', () => {
  const record = (...names: string[]): object => ({ id: digestOf(Buffer.from(names.join())), names, pulled: '' });
  const deps = (...records: object[]): Deps =>
    ({
      metadata: { images: { list: () => Promise.resolve(records) } },
      fullName: (name: string) => Promise.resolve(name.replace(/^fedora/, 'r.example/fedora')),
    }) as unknown as Deps;

  it('is for names that are not there', async () => {
    const [own, other] = [record('docker.io/library/fedora:1'), record('r.example/fedora:1', 'r.example/fedora:2')];
    expect((await findImage(deps(own, other), 'fedora:1')).record).to.equal(own);
    expect(await findImage(deps(own, other), 'fedora:2')).to.deep.equal({ record: other, name: 'r.example/fedora:2' });
    for (const name of ['fedora:3', 'debian'])
      expect((await rejection(findImage(deps(own, other), name))).message).to.equal(
        `there is no image ${name} in the store`,
      );
  });
});
