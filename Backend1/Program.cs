DemoBackend.Run("backend1", 3000, args);
