import { expect } from 'chai';
import { parseDockerfile, unusedArgs } from '../../lib/dockerfile/index.js';

describe('unusedArgs', () => {
  const unused = (text: string, ...names: string[]): string[] =>
    unusedArgs(parseDockerfile(Buffer.from(text), { file: 'Dockerfile' }), names);

  it('are those that no ARG declares, of any stage or before the first', () => {
    const text = 'ARG A\nFROM scratch AS one\nARG B=1 C\nFROM one\nARG D\nONBUILD ARG E\n';
    expect(unused(text, 'A', 'B', 'C', 'D', 'E', 'F')).to.deep.equal(['E', 'F']);
  });

  it('are not proxies, platform variables and those of the builder', () => {
    const names = [
      'http_proxy',
      'NO_PROXY',
      'TARGETARCH',
      'BUILDPLATFORM',
      'SOURCE_DATE_EPOCH',
      'BUILDKIT_INLINE_CACHE',
    ];
    expect(unused('FROM scratch\n', ...names, 'TARGET')).to.deep.equal(['TARGET']);
  });
});
