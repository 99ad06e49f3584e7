'use strict';
/* process.stdout and process.stderr of the user's code, told to the host with the number of the
 * execution that wrote, also when a timer or a promise of it does so later. */
const childProcess = require('node:child_process');
const fs = require('node:fs');
const {AsyncLocalStorage} = require('node:async_hooks');
const {syncBuiltinESMExports} = require('node:module');
const {StringDecoder} = require('node:string_decoder');

class Streams {
  constructor(host) {
    this.host = host;
    this.origin = new AsyncLocalStorage();
    this.latest = 0; /* what has no origin is of the request that ran last */
    for (const name of ['stdout', 'stderr']) this.replace(name);
    this.watchDescriptors();
  }

  /* Text that goes to descriptor 1 or 2 by its number is of the streams; children that were waited
   * for have written before what comes next. */
  watchDescriptors() {
    const {writeSync} = fs;
    fs.writeSync = (fd, data, ...rest) => {
      const name = {1: 'stdout', 2: 'stderr'}[fd];
      if (!name || typeof data !== 'string') return writeSync(fd, data, ...rest);
      process[name].write(data);
      return Buffer.byteLength(data);
    };
    for (const name of ['spawnSync', 'execSync', 'execFileSync']) {
      const original = childProcess[name];
      childProcess[name] = (...words) => {
        try {
          return original(...words);
        } finally {
          this.host.pipesFirst = true;
        }
      };
    }
    syncBuiltinESMExports();
  }

  number() {
    return this.origin.getStore() ?? this.latest;
  }

  /* Calls f as request number. */
  as(number, f) {
    this.latest = number;
    return this.origin.run(number, f);
  }

  replace(name) {
    const decoder = new StringDecoder('utf8');
    process[name].write = (chunk, encoding, done) => {
      if (typeof encoding === 'function') [encoding, done] = [undefined, encoding];
      if (typeof chunk !== 'string' && !ArrayBuffer.isView(chunk))
        throw new TypeError('a stream takes text, a Buffer or a typed array');
      const known = typeof encoding === 'string' && Buffer.isEncoding(encoding);
      const text = typeof chunk !== 'string' ? decoder.write(bytesOf(chunk))
        : known && !/^utf-?8$/i.test(encoding) ? decoder.write(Buffer.from(chunk, encoding))
        : chunk;
      this.host.stream(this.number(), name, text);
      if (done) process.nextTick(done);
      return true;
    };
  }
}

function bytesOf(view) {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

module.exports = {Streams};
