import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { run } from '../helpers/run.js';
import { drawChart, reportOfChart } from './chart.js';
import { withFigures, type BenchReport, type RowResult } from './report.js';

function row(name: string, ...participants: readonly (readonly [string, number | undefined])[]): RowResult {
  return {
    row: name,
    unit: 's',
    participants: participants.map(([who, median]) => ({ name: who, values: [], median, counts: {} })),
  };
}

const REPORT: BenchReport = {
  date: '2024-05-06T07:08:09Z',
  machine: { cpu: 'Some <CPU> & Co', cores: 2, memory: 4e9, kernel: '6.1', node: 'v20.20.0', load: 0.25 },
  image: { description: 'synthetic', compressedSize: 1e6 },
  results: [
    row('cold pull', ['imgtool', 1], ['podman', 4], ['igzip | tar', 2]),
    row('push', ['imgtool', 0.3], ['podman', 0.1]),
    row('failed for a peer', ['imgtool', 1], ['skopeo', undefined]),
    row('failed for imgtool', ['imgtool', undefined], ['skopeo', 1]),
    { ...row('peak memory', ['imgtool', 100]), unit: 'MB' },
  ],
};

describe('the chart of the benchmark', () => {
  const svg = drawChart(REPORT);

  it('has bars in proportion, the longest of each row at full width, and tells imgtool apart', () => {
    const bars = [...svg.matchAll(/<rect class="(ours|peer)" .*?width="([\d.]+)"/g)].map(([, kind, width]) => [
      kind,
      width,
    ]);
    expect(bars).to.deep.equal([
      ['ours', '80.0'],
      ['peer', '320.0'],
      ['peer', '160.0'],
      ['ours', '320.0'],
      ['peer', '106.7'],
      ['ours', '320.0'],
    ]);
  });

  it('is well-formed XML that says the same in words and needs nothing else', async () => {
    const read =
      'import sys, xml.dom.minidom as m; d = m.parseString(sys.argv[1])\nfor name in ("title", "desc"): print(d.getElementsByTagName(name)[0].firstChild.data)';
    const words = await run('python3', ['-c', read, svg]);
    expect(words).to.include('cold pull: imgtool 1.00 s, podman 4.00 s (ratio 0.25), igzip | tar 2.00 s (ratio 0.50).');
    expect(words).to.include('push: imgtool 0.30 s, podman 0.10 s (ratio 3.00).').and.include('Some <CPU> & Co');
    expect(words).to.not.include('failed for imgtool').and.not.include('memory');
    expect(svg.replace('http://www.w3.org/2000/svg', '')).to.not.match(/https?:|<script|href|@import|@font-face|url\(/);
    expect(svg).to.include('prefers-color-scheme: dark').and.include('role="img"');
  });

  it('holds the report that it was drawn from', () => {
    expect(reportOfChart(svg)).to.deep.equal(JSON.parse(JSON.stringify(REPORT)));
  });

  it('that docs/ shows, and its table, are what is drawn from their report today', async () => {
    const [chart, page] = await Promise.all(['svg', 'md'].map((kind) => readFile(`docs/benchmarks.${kind}`, 'utf8')));
    const report = reportOfChart(chart!);
    expect(drawChart(report)).to.equal(chart);
    expect(withFigures(page!, report)).to.equal(page);
    for (const { row, participants } of report.results)
      for (const { name, values, error } of participants)
        expect(values.length, `runs of ${name} in "${row}"${error === undefined ? '' : `: ${error}`}`).to.be.at.least(
          3,
        );
  });
});
