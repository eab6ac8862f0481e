import { expect } from 'chai';
import { InvalidReferenceError } from '../../lib/errors.js';
import { familiarReference, formatReference, parseReference } from '../../lib/spec/index.js';

const HEX = 'a'.repeat(64);

describe('parseReference', () => {
  const good = [
    { input: 'alpine', want: 'docker.io/library/alpine:latest' },
    { input: 'alpine:3.20', want: 'docker.io/library/alpine:3.20' },
    { input: 'docker://alice/tool', want: 'docker.io/alice/tool:latest' },
    { input: 'localhost/x', want: 'localhost/x:latest' },
    { input: 'localhost:5000/deb:5', want: 'localhost:5000/deb:5' },
    { input: '[::1]:5000/a/b/c', want: '[::1]:5000/a/b/c:latest' },
    { input: `r.example/x@sha256:${HEX}`, want: `r.example/x@sha256:${HEX}` },
    { input: `r.example/x:1@sha256:${HEX}`, want: `r.example/x:1@sha256:${HEX}` },
  ];
  for (const { input, want } of good) {
    it(`reads ${input}`, () => {
      expect(formatReference(parseReference(input))).to.equal(want);
      expect(formatReference(parseReference(want))).to.equal(want);
    });
  }

  const bad = [
    '',
    'UPPER',
    'a//b',
    'a/../b',
    '../x',
    'x:',
    'x:a b',
    'x@sha256:abc',
    `x@sha256:${HEX.toUpperCase()}`,
    'h:99999/x',
    'x:-tag',
    '-h.example/x',
    `x:${'t'.repeat(129)}`,
    'sha256:../../x',
  ];
  for (const input of bad) {
    it(`refuses ${JSON.stringify(input.slice(0, 40))} (CVE-2014-9358, CVE-2024-3727)`, () => {
      expect(() => parseReference(input)).to.throw(InvalidReferenceError);
    });
  }

  for (const transport of ['dir', 'containers-storage', 'docker-daemon', 'oci', 'docker-archive', 'store', 'ostree'])
    it(`refuses the transport ${transport}: by name instead of taking it for an image of Docker Hub`, () => {
      const read = (): unknown => parseReference(`${transport}:x`);
      expect(read).to.throw(InvalidReferenceError, `the transport ${transport}:`).with.property('hint');
      expect(formatReference(parseReference(`docker.io/library/${transport}:x`))).to.include(transport);
    });

  it('shortens as people type it', () => {
    expect(familiarReference(parseReference('alpine'))).to.equal('alpine:latest');
    expect(familiarReference(parseReference('localhost:5000/a'))).to.equal('localhost:5000/a:latest');
  });
});
