import type { Fields } from './fields.ts';
import type { Layer, LayersChange } from './types.ts';

/** Layers of one volume, at most: 250 snapshots, and those that wait to be merged. */
export const MAX_LAYERS = 512;
/** What a snapshot may be called. */
export const SNAPSHOT_NAME_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9._: -]{0,62}$/;
const NAME_WORDS =
  '1 to 63 letters, digits, spaces, dots, colons, hyphens or underscores, the first a letter or digit';
const MAX_DATE_LENGTH = 64;

/** An older release knew one layer after the other: the parent is the one before. */
export const readLayers = (fields: Fields): Layer[] => {
  const layers: Layer[] = [];
  for (const each of fields.objects('layers', MAX_LAYERS)) layers.push(readLayer(each, layers));
  return layers;
};

const readLayer = (fields: Fields, before: readonly Layer[]): Layer => {
  const id = readId(fields, 'id');
  const parent = fields.has('parent')
    ? fields.nullableCount('parent')
    : (before.at(-1)?.id ?? null);
  if (parent === id || parent === 0)
    throw fields.wrong('parent', 'null or the id of another layer');
  return {
    id,
    parent,
    name: fields.nullableText('name', 63) === null ? null : readName(fields),
    createdAt: fields.text('createdAt', MAX_DATE_LENGTH),
    complete: fields.has('complete') ? fields.flag('complete') : true,
  };
};

export const readLayersChange = (fields: Fields): LayersChange => {
  const change = fields.text('change', 16);
  switch (change) {
    case 'snapshot':
      return { change, head: readId(fields, 'head'), ...readPoint(fields) };
    case 'revert':
      return {
        change,
        head: readId(fields, 'head'),
        to: readId(fields, 'to'),
        ...readPoint(fields),
      };
    case 'undo':
      return { change, head: readId(fields, 'head') };
    case 'rename':
      return { change, layer: readId(fields, 'layer'), name: readName(fields) };
    case 'delete':
    case 'complete':
      return { change, layer: readId(fields, 'layer') };
    case 'pause-merges':
    case 'resume-merges':
      return { change };
    case 'adopt':
      return { change, head: readId(fields, 'head'), layers: readLayers(fields) };
    default:
      throw fields.wrong('change', 'the name of a change of layers');
  }
};

const readPoint = (fields: Fields): { readonly name: string; readonly createdAt: string } => ({
  name: readName(fields),
  createdAt: fields.text('createdAt', MAX_DATE_LENGTH),
});

const readName = (fields: Fields): string =>
  fields.matching('name', SNAPSHOT_NAME_PATTERN, NAME_WORDS);

const readId = (fields: Fields, name: string): number => {
  const id = fields.count(name);
  if (id === 0) throw fields.wrong(name, 'the id of a layer, a whole number from 1 on');
  return id;
};
