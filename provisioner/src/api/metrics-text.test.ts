import { expect } from 'chai';
import { mergeMetrics } from './metrics-text.ts';

const target = `# HELP openebs_volume_size_bytes Size.
# TYPE openebs_volume_size_bytes gauge
openebs_volume_size_bytes 1024
# HELP openebs_volume_io_seconds Latency.
# TYPE openebs_volume_io_seconds histogram
openebs_volume_io_seconds_bucket{op="read",le="+Inf"} 3
openebs_volume_io_seconds_sum{op="read"} 0.5
openebs_volume_io_seconds_count{op="read"} 3
`;

describe('merged metrics', () => {
  it('give every sample the labels of its source and every family one header', () => {
    const text = mergeMetrics([
      { labels: { volume: 'a' }, text: target },
      { labels: { volume: 'b' }, text: target },
    ]);
    expect(text.match(/# TYPE openebs_volume_size_bytes gauge/g)).to.have.length(1);
    expect(text).to.include('openebs_volume_size_bytes{volume="a"} 1024\n');
    expect(text).to.include('openebs_volume_size_bytes{volume="b"} 1024\n');
    expect(text).to.include('openebs_volume_io_seconds_bucket{volume="b",op="read",le="+Inf"} 3');
  });

  it('keep the samples of a family together', () => {
    const lines = mergeMetrics([
      { labels: { volume: 'a' }, text: target },
      { labels: { volume: 'b' }, text: target },
    ]).split('\n');
    const families = lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(/[{_](?:bucket|sum|count|volume=)/)[0]);
    const changes = families.filter((family, i) => family !== families[i - 1]);
    expect(changes).to.deep.equal(['openebs_volume_size_bytes', 'openebs_volume_io_seconds']);
  });

  it('give one value to a series that two sources tell differently: the first one', () => {
    const label = { volume: 'a' };
    const text = mergeMetrics([
      { labels: {}, text: 'up{volume="a",state="b"} 1\n' },
      { labels: label, text: 'up{state="b"} 0\nup{state="c"} 0\n' },
    ]);
    expect(text).to.equal('up{volume="a",state="b"} 1\nup{volume="a",state="c"} 0\n');
  });

  it('keep labels of the source, whatever their values hold', () => {
    const own = 'x{path="we\\"ird}, {name",b="c"} 1\ny{op="r"} 2 1700000000000\n';
    expect(mergeMetrics([{ labels: { volume: 'a' }, text: own }])).to.equal(
      'x{volume="a",path="we\\"ird}, {name",b="c"} 1\ny{volume="a",op="r"} 2 1700000000000\n',
    );
  });

  it('say who it is as the control plane does, not as the daemon calls itself', () => {
    const own = 'a{volume="0-1-2",replica="unix:/run/1"} 1\n';
    const names = { 'unix:/run/1': 'replica-1' };
    expect(mergeMetrics([{ labels: { volume: 'db' }, names, text: own }])).to.equal(
      'a{volume="db",replica="replica-1"} 1\n',
    );
  });
});
