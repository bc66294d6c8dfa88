-- wrk script for terminals: writes the number of a random device into one prepared request. So the load uses all devices,
-- and costs the same with a million devices as with ten.
-- Arguments: method, path, number of the first device, number of devices, seed.

local ffi = require("ffi")

local DIGITS = 8

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local method, path = args[1], args[2]
  first, last = tonumber(args[3]), tonumber(args[3]) + tonumber(args[4]) - 1
  math.randomseed(tonumber(args[5]) * 1000 + number)
  local id = string.format("POS-%0" .. DIGITS .. "d", first)
  local text = wrk.format(method, path, {
    ["X-Device-Id"] = id,
    ["User-Agent"] = "Viopay-POS/1.4.2 (Android 12; PAX-A920)",
    ["X-Client-Type"] = "pos",
  })
  length = #text
  bytes = ffi.new("uint8_t[?]", length)
  ffi.copy(bytes, text, length)
  -- The offset after the last digit.
  digits_end = text:find(id, 1, true) - 1 + #id
end

function request()
  local rest = math.random(first, last)
  for offset = digits_end - 1, digits_end - DIGITS, -1 do
    local tens = math.floor(rest / 10)
    bytes[offset] = 48 + rest - 10 * tens
    rest = tens
  end
  return ffi.string(bytes, length)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "MEASURED requests=%d micros=%d refused=%d broken=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
