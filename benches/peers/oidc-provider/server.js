// Device flow (RFC 8628) of oidc-provider, with default settings except the flow and one client. It uses the default
// store: in this process's memory, for at most a thousand entries. So it is one process on one core, without a database.
//
// Settings come from the environment: PORT_FILE (where to write the address it listens on).
import { renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const address = `127.0.0.1:${server.address().port}`;
  const provider = new Provider(`http://${address}`, {
    clients: [{
      client_id: 'terminal',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: [],
      response_types: [],
    }],
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: false } },
    // The default lifetime of a code is ten minutes; a run may take longer.
    ttl: { DeviceCode: 24 * 60 * 60 },
  });
  server.on('request', provider.callback());
  const file = process.env.PORT_FILE;
  writeFileSync(`${file}.draft`, address);
  renameSync(`${file}.draft`, file);
});
