import { expect } from 'chai';
import { codeQualityText, junitText, openMetricsText, reportError, type Outcome } from '../../../lib/cli/index.js';
import { DockerfileError, NotFoundError } from '../../../lib/errors.js';

const DONE: Outcome = {
  command: 'store gc',
  title: 'store gc',
  result: undefined,
  errors: [],
  exitCode: 0,
  seconds: 1.2345,
};

const FINDING = {
  rule: 'StageNameCasing',
  message: 'stage name "A" is not lower case',
  file: 'app/Dockerfile',
  line: 3,
};
const DOCKERFILE_ERROR = reportError(
  new DockerfileError('unknown instruction FORM', { file: 'Dockerfile', line: 1, column: 1, text: 'FORM x' }),
  'build .',
);

describe('--report', () => {
  describe('junit', () => {
    it('has a case for each step of a build, at its line', () => {
      const steps = [
        { stage: 'base', name: 'RUN make "a" && b', file: 'Dockerfile', line: 2, isCached: true, seconds: 0 },
        { stage: 'stage-1', name: 'COPY . .', file: 'Dockerfile', line: 5, isCached: false, seconds: 0.25 },
      ];
      expect(junitText({ ...DONE, command: 'build', result: { steps } })).to.equal(
        `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="0" errors="0" skipped="0" time="1.234">
  <testsuite name="imgtool build" tests="2" failures="0" errors="0" skipped="0" time="1.234">
    <testcase classname="imgtool.build.base" name="RUN make &quot;a&quot; &amp;&amp; b" time="0.000" file="Dockerfile" line="2"><system-out>taken from the cache</system-out></testcase>
    <testcase classname="imgtool.build.stage-1" name="COPY . ." time="0.250" file="Dockerfile" line="5"/>
  </testsuite>
</testsuites>
`,
      );
    });

    it('has a case for each image; one that failed stands for the error of the command', () => {
      const made = [
        { image: 'r/a:1', did: 'copied' },
        { image: 'r/a:2', did: 'failed', error: 'denied <now>' },
      ];
      const errors = [reportError(new NotFoundError('1 tag failed', { kind: 'image', subject: 'r' }), 'sync')];
      const text = junitText({ ...DONE, command: 'sync', result: { made }, errors, exitCode: 10 });
      expect(text).to.match(/tests="2" failures="1"/);
      expect(text).to.include('name="r/a:1" time="0.000"><system-out>copied<');
      expect(text).to.include('<failure message="denied &lt;now&gt;">denied &lt;now&gt;</failure>');
      expect(text).to.not.match(/1 tag failed/);
    });

    it('has a case for the error, with its hint and the line that it is about', () => {
      const gone = reportError(new NotFoundError('gone', { kind: 'image', subject: 'a', hint: 'pull it' }), 'rmi a');
      expect(junitText({ ...DONE, command: 'rmi', errors: [gone], exitCode: 3 })).to.match(
        /tests="1" failures="1"[^]* name="rmi a" time="0.000"><failure message="gone">gone\nhint: pull it<\/failure>/,
      );
      expect(junitText({ ...DONE, command: 'build', errors: [DOCKERFILE_ERROR], exitCode: 2 })).to.match(
        / file="Dockerfile" line="1"><failure message="[^"]*unknown instruction FORM"/,
      );
    });

    it('has one case for a command that made nothing', () => {
      expect(junitText(DONE)).to.match(/classname="imgtool\.store\.gc" name="store gc" time="1\.234"\/>/);
      expect(junitText({ ...DONE, exitCode: 7 })).to.match(/failures="1"[^]*<failure message="exit code 7">/);
    });

    it('holds no character that XML cannot', () => {
      const text = junitText({ ...DONE, title: `a\u0000\u001b[1m\ud800\uffff\n\t😀` });
      expect(text).to.include('name="a\ufffd\ufffd[1m\ufffd\ufffd&#10;&#9;😀"');
    });
  });

  describe('codequality', () => {
    const issuesOf = (outcome: Outcome): Record<string, unknown>[] =>
      JSON.parse(codeQualityText(outcome, '/work')) as Record<string, unknown>[];

    it('tells findings and errors by file and line', () => {
      const [first, second] = issuesOf({ ...DONE, result: { findings: [FINDING] }, errors: [DOCKERFILE_ERROR] });
      expect(first).to.deep.include({
        description: FINDING.message,
        check_name: 'StageNameCasing',
        severity: 'minor',
        location: { path: 'app/Dockerfile', lines: { begin: 3 } },
      });
      expect(first!.fingerprint).to.match(/^[0-9a-f]{64}$/);
      expect(second).to.deep.include({ severity: 'blocker', location: { path: 'Dockerfile', lines: { begin: 1 } } });
    });

    it('keeps the fingerprint of a finding that moves, and tells two of a kind apart', () => {
      const fingerprints = (...findings: (typeof FINDING)[]): unknown[] =>
        issuesOf({ ...DONE, result: { findings } }).map(({ fingerprint }) => fingerprint);
      const moved = { ...FINDING, line: 9 };
      const [one, other] = fingerprints(FINDING, moved);
      expect(one).to.not.equal(other);
      expect(fingerprints(moved)).to.deep.equal([one]);
    });

    it('gives paths from the directory of the job, and an empty list for no finding', () => {
      const [issue] = issuesOf({ ...DONE, result: { findings: [{ ...FINDING, file: '/work/app/Dockerfile' }] } });
      expect(issue!.location).to.deep.equal({ path: 'app/Dockerfile', lines: { begin: 3 } });
      expect(codeQualityText(DONE, '/work')).to.equal('[]\n');
    });
  });

  describe('metrics', () => {
    it('are told by repository, so that a job can be compared with the one before', () => {
      const made = [
        { image: 'r:5000/app:abc', did: 'pushed', bytes: 10, size: 2000 },
        { image: `r:5000/app@sha256:${'a'.repeat(64)}`, did: 'pushed', bytes: 5, size: 3000 },
        { image: 'o"x\\', did: 'pushed' },
      ];
      expect(openMetricsText({ ...DONE, command: 'push', result: { made } })).to.equal(
        `# TYPE imgtool_success gauge
# HELP imgtool_success Whether the command ended with exit code 0.
imgtool_success{command="push"} 1
# TYPE imgtool_seconds gauge
# HELP imgtool_seconds How long the command took.
imgtool_seconds{command="push"} 1.234
# TYPE imgtool_image_size_bytes gauge
# HELP imgtool_image_size_bytes Compressed size of the image.
imgtool_image_size_bytes{command="push",repository="r:5000/app"} 3000
# TYPE imgtool_transferred_bytes gauge
# HELP imgtool_transferred_bytes Bytes sent or received.
imgtool_transferred_bytes{command="push",repository="r:5000/app"} 15
# EOF
`,
      );
    });

    it('count the steps of a build', () => {
      const step = { stage: 'a', name: 'RUN x', file: 'Dockerfile', line: 2, seconds: 0 };
      const steps = [true, true, false].map((isCached) => ({ ...step, isCached }));
      expect(openMetricsText({ ...DONE, command: 'build', result: { steps }, exitCode: 1 }))
        .to.include('imgtool_success{command="build"} 0\n')
        .and.include('imgtool_build_steps{command="build",cached="true"} 2\n')
        .and.include('imgtool_build_steps{command="build",cached="false"} 1\n');
    });
  });
});
