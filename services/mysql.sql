-- What the user of the tests may do, in MySQL's own image; the image has made the user and its first database.
GRANT ALL ON `quickchat%`.* TO 'quickchat'@'%';
