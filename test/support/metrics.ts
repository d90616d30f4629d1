/** For callers that are busy for seconds: a connection that is kept may have ended meanwhile. */
export const ONE_CALL = { connection: 'close' };

/** What a daemon counts, from its own /metrics. */
export async function metricOf(control: string, name: string): Promise<number> {
  const response = await fetch(`http://${control}/metrics`, { headers: ONE_CALL });
  return sumOf(await response.text(), name);
}

/** Over all labels. */
const sumOf = (text: string, name: string): number =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
