import { expect } from 'chai';
import { MetricRegistry } from './metrics.ts';

describe('MetricRegistry', () => {
  it('renders the text format, with common labels and escaped values', () => {
    const registry = new MetricRegistry({ volume: 'a"b\\c\nd' });
    registry.counter({ name: 'x_ops_total', help: 'Line\none \\.', labels: { op: 'read' } }).add(2);
    registry.counter({ name: 'x_ops_total', help: 'again', labels: { op: 'write' } }).add(3);
    registry.gauge({ name: 'x_size_bytes', help: 'Size.' }).set(1.5);
    registry.observed({ name: 'x_gone', help: 'Absent.', type: 'gauge', read: () => null });
    const labels = 'volume="a\\"b\\\\c\\nd"';
    expect(registry.render()).to.equal(
      [
        '# HELP x_ops_total Line\\none \\\\.',
        '# TYPE x_ops_total counter',
        `x_ops_total{${labels},op="read"} 2`,
        `x_ops_total{${labels},op="write"} 3`,
        '# HELP x_size_bytes Size.',
        '# TYPE x_size_bytes gauge',
        `x_size_bytes{${labels}} 1.5`,
        '# HELP x_gone Absent.',
        '# TYPE x_gone gauge',
        '',
      ].join('\n'),
    );
  });

  it('counts each observation in its bucket and in all above', () => {
    const registry = new MetricRegistry();
    const histogram = registry.histogram({ name: 't_seconds', help: 'T.', bounds: [1, 2] });
    for (const value of [0.5, 1, 1.5, 9]) histogram.observe(value);
    expect(histogram.count).to.equal(4);
    expect(registry.render().split('\n').slice(2, 7)).to.deep.equal([
      't_seconds_bucket{le="1"} 2',
      't_seconds_bucket{le="2"} 3',
      't_seconds_bucket{le="+Inf"} 4',
      't_seconds_sum 12',
      't_seconds_count 4',
    ]);
  });

  it('refuses a series twice, a name of two types, and what is no name', () => {
    const registry = new MetricRegistry();
    registry.counter({ name: 'a_total', help: '' });
    expect(() => registry.counter({ name: 'a_total', help: '' })).to.throw('exists already');
    expect(() => registry.gauge({ name: 'a_total', help: '', labels: { b: 'c' } })).to.throw(
      'is a counter',
    );
    expect(() => registry.gauge({ name: 'A-b', help: '' })).to.throw('no metric name');
  });

  it('shows series of those who are there at the moment of the scrape', () => {
    const registry = new MetricRegistry({ volume: 'v' });
    const there = new Map([['a', 1]]);
    registry.observedEach({
      name: 'mode',
      help: 'Mode.',
      type: 'gauge',
      read: () => [...there].map(([replica, value]) => ({ labels: { replica }, value })),
    });
    expect(registry.render()).to.contain('mode{volume="v",replica="a"} 1\n');
    there.delete('a');
    there.set('b', 2);
    const text = registry.render();
    expect(text).to.contain('mode{volume="v",replica="b"} 2\n');
    expect(text).not.to.contain('"a"');
  });
});
