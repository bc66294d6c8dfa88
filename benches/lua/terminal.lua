-- Terminals for wrk: one request for each device, made beforehand, and drawn at random.
-- Arguments: method, path, number of the first device, number of devices, seed.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local method, path, first, count = args[1], args[2], tonumber(args[3]), tonumber(args[4])
  math.randomseed(tonumber(args[5]) * 1000 + number)
  requests = {}
  for device = first, first + count - 1 do
    requests[#requests + 1] = wrk.format(method, path, {
      ["X-Device-Id"] = string.format("POS-%08d", device),
      ["User-Agent"] = "Viopay-POS/1.4.2 (Android 12; PAX-A920)",
      ["X-Client-Type"] = "pos",
    })
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "MEASURED requests=%d micros=%d refused=%d broken=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
