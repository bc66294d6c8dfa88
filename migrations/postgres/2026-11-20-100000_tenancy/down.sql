DROP TABLE client_failures;
DROP TABLE logouts;
DROP TABLE sessions;
DROP TABLE api_clients;
DROP TABLE memberships;
DROP TABLE merchants;
DROP TABLE resellers;
