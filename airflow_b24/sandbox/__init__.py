"""A local Bitrix24 portal and a bank, to develop and test against; nothing here talks to a real one."""
