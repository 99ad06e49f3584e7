'use strict';
/* What a value looks like: a MIME bundle, as Jupyter's display_data and execute_result have it. */
const util = require('node:util');

const OWN = Symbol.for('Jupyter.display'); /* a method that gives the value's own bundle */

const PICTURES = [
  {type: 'image/png', magic: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]},
  {type: 'image/jpeg', magic: [0xff, 0xd8, 0xff]},
  {type: 'image/gif', magic: [0x47, 0x49, 0x46, 0x38]},
  {type: 'application/pdf', magic: [0x25, 0x50, 0x44, 0x46, 0x2d]},
];

function pictureOf(value) {
  if (!(value instanceof Uint8Array)) return null;
  return PICTURES.find(({magic}) => magic.every((byte, i) => value[i] === byte)) ?? null;
}

/* {type: data} as it goes out: bytes in base64, JSON types as they are, the rest as text. */
function checked(bundle) {
  if (bundle === null || typeof bundle !== 'object' || Array.isArray(bundle))
    throw new TypeError('a MIME bundle is an object {"type/subtype": data}');
  const out = {};
  for (const [type, data] of Object.entries(bundle)) {
    if (!/^[^/\s]+\/[^/\s]+$/.test(type)) throw new TypeError(`"${type}" is no MIME type`);
    if (data instanceof Uint8Array) out[type] = Buffer.from(data).toString('base64');
    else if (typeof data === 'string' || /[/+]json\b/.test(type)) out[type] = data;
    else throw new TypeError(`${type}: must be text or bytes`);
  }
  return out;
}

/* The bundle of any value; waits where the value's own method does. */
async function bundleOf(value) {
  if (value !== null && typeof value === 'object' && typeof value[OWN] === 'function')
    return checked(await value[OWN]());
  const picture = pictureOf(value);
  const bundle = {'text/plain': util.inspect(value)};
  if (picture) bundle[picture.type] = Buffer.from(value).toString('base64');
  return bundle;
}

/* The global `display`: publish is called with a type of message and its content. */
function makeDisplay(publish) {
  const show = (data, {id, update = false, metadata = {}} = {}) => {
    if (update && id === undefined) throw new TypeError('an update needs the id of what it updates');
    const transient = id === undefined ? {} : {display_id: String(id)};
    publish(update ? 'update_display_data' : 'display_data', {data, metadata, transient});
  };
  const display = async (value, options) => show(await bundleOf(value), options);
  display.mime = (bundle, options) => show(checked(bundle), options);
  const types = {
    html: 'text/html', markdown: 'text/markdown', latex: 'text/latex', svg: 'image/svg+xml',
    png: 'image/png', jpeg: 'image/jpeg', pdf: 'application/pdf', json: 'application/json',
  };
  for (const [name, type] of Object.entries(types))
    display[name] = (data, options) => show(checked({[type]: data}), options);
  display.clear = (wait = false) => publish('clear_output', {wait: Boolean(wait)});
  return display;
}

module.exports = {bundleOf, makeDisplay};
