DemoBackend.Run("backend2", 3001, args);
